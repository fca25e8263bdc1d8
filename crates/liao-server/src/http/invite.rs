//! Invite pages (XEP-0401): a form without any script.

use super::{Page, is_chinese, page};
use crate::peer::Peer;
use crate::registration;
use axum::Extension;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use liao_proto::xml::escape;
use serde::Deserialize;

/// The form.
pub(super) async fn invite(
    State(at): State<Page>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    form(&at, &token, is_chinese(&headers), "", "", StatusCode::OK).await
}

async fn form(
    at: &Page,
    token: &str,
    zh: bool,
    name: &str,
    error: &str,
    status: StatusCode,
) -> Response {
    let domain = escape(at.server.domain.as_str());
    let invite = at.server.accounts.invite(token).await.ok().flatten();
    let Some(invite) = invite.filter(|_| registration::is_offered(&at.server)) else {
        let words = if zh {
            "<h1>邀请无效</h1><p>这个邀请已被使用、已过期或不存在。请向邀请人要一个新的。</p>"
        } else {
            "<h1>No such invite</h1><p>This invite is used up, expired or unknown. Ask for a new one.</p>"
        };
        return page(StatusCode::NOT_FOUND, "liao", words);
    };
    let (title, who, labels) = if zh {
        (
            "你被邀请了",
            "邀请人",
            ["用户名", "密码", "创建账号", "也可以用应用打开"],
        )
    } else {
        (
            "You are invited",
            "Invited by",
            [
                "Name",
                "Password",
                "Create the account",
                "Or open it in an app",
            ],
        )
    };
    let from = invite
        .from
        .as_ref()
        .map(|f| format!("<p>{who}: {}</p>", escape(f.as_str())))
        .unwrap_or_default();
    let error = if error.is_empty() {
        String::new()
    } else {
        format!("<p class=error role=alert>{}</p>", escape(error))
    };
    let uri = escape(&liao_proto::xep::invite::register_uri(
        at.server.domain.as_str(),
        token,
    ));
    let body = format!(
        "<h1>{title}: {domain}</h1>{from}{error}<form method=post><label>{}<input name=name required autofocus \
         autocomplete=username value='{}'></label><label>{}<input name=password type=password required \
         autocomplete=new-password></label><button>{}</button></form><p>{}: <a href='{uri}'><code>{uri}</code></a></p>",
        labels[0],
        escape(name),
        labels[1],
        labels[2],
        labels[3]
    );
    page(status, "liao", &body)
}

/// What was filled in.
#[derive(Deserialize)]
pub(super) struct Answers {
    name: String,
    password: String,
}

/// Makes the account.
pub(super) async fn redeem(
    State(at): State<Page>,
    Path(token): Path<String>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Form(answers): Form<Answers>,
) -> Response {
    let zh = is_chinese(&headers);
    if !peer.secure && !peer.local {
        // The password would cross a network in the open.
        return StatusCode::FORBIDDEN.into_response();
    }
    if !at.server.registrations.admit(
        peer.address.ip(),
        at.server.bounds.registrations_per_address,
    ) {
        let error = "too many new accounts from your address; try again in ten minutes";
        return form(
            &at,
            &token,
            zh,
            &answers.name,
            error,
            StatusCode::TOO_MANY_REQUESTS,
        )
        .await;
    }
    if !registration::is_offered(&at.server) {
        return form(&at, &token, zh, "", "", StatusCode::NOT_FOUND).await;
    }
    match registration::create(
        &at.server,
        Some(&token),
        answers.name.trim(),
        &answers.password,
    )
    .await
    {
        Ok(jid) => {
            let jid = escape(jid.as_str());
            let words = if zh {
                format!(
                    "<h1>欢迎</h1><p>你的地址是 <code>{jid}</code>。现在运行 <code>liao chat</code>，或在任何 XMPP 应用中登录。</p>"
                )
            } else {
                format!(
                    "<h1>Welcome</h1><p>Your address is <code>{jid}</code>. Now run <code>liao chat</code>, or log in with any XMPP app.</p>"
                )
            };
            page(StatusCode::OK, "liao", &words)
        }
        Err(error) => {
            form(
                &at,
                &token,
                zh,
                &answers.name,
                &error.to_string(),
                StatusCode::BAD_REQUEST,
            )
            .await
        }
    }
}

//! An invite for somebody new (XEP-0401 section 3).

use super::table::{Done, Outcome, Run};
use crate::accounts::INVITE_TTL;
use crate::registration::kind;
use liao_proto::xep::forms::Field;

pub(super) async fn invite(run: Run) -> Outcome {
    let from = run.from.to_bare();
    let accounts = &run.server.accounts;
    let invite = accounts.create_invite(Some(from), false, INVITE_TTL).await;
    let invite = invite.map_err(|e| kind(&e))?;
    let field = |var: &str, words, value: String| {
        Field::new(var, "text-single", run.lang.pick(words)).values([value])
    };
    let mut fields = Vec::new();
    for uri in run.server.invite_uris(&invite) {
        fields.push(if uri.starts_with("xmpp:") {
            field("uri", ("Invite URI", "邀请 URI"), uri)
        } else {
            field("landing-url", ("Invite link", "邀请链接"), uri)
        });
    }
    let until = invite.expires_text();
    fields.push(field("expire", ("Valid until", "有效期至"), until));
    Ok(Done {
        fields,
        ..Done::default()
    })
}

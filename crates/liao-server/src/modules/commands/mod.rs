//! Ad-hoc commands (XEP-0050): a list, forms (XEP-0004), executions. What there is to execute is in [`table`]: the
//! administration of the server (XEP-0133), and invites (XEP-0401 section 3).

mod access;
mod invite;
mod lists;
mod look;
mod notices;
mod stop;
pub mod table;
mod users;

use super::disco::{feature, identity};
use crate::accounts::DISABLED;
use crate::engines::commands::NotOpen;
use crate::engines::roster::set;
use crate::hooks::{Answer, At, Cx, Module, Spec};
use crate::server::Server;
use liao_proto::jid::Jid;
use liao_proto::minidom::{Element, rxml};
use liao_proto::ns;
use liao_proto::stanza::{ErrorKind, Stanza};
use liao_proto::xep::forms::{self, Answers};
use std::sync::Arc;
use table::{Command, Done, Lang, Run};

/// The module.
pub struct Commands;

static SPEC: Spec = Spec {
    name: "commands",
    xeps: &["0004", "0050", "0133", "0401"],
    features: &[ns::COMMANDS, ns::DATA_FORMS],
    iqs: &[("command", ns::COMMANDS, At::Domain)],
    needs: &[DISABLED],
    doc: "Commands with forms: administration for administrators, invites for everyone.",
    ..Spec::EMPTY
};

impl Module for Commands {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_iq(&self, cx: &mut Cx<'_>, iq: &Stanza, payload: &Element, _: At) -> Answer {
        match begin(cx, iq, payload) {
            Ok(answer) => answer,
            Err(error) => Answer::Error(error),
        }
    }
}

/// A condition of section 4.4.
fn bad(detail: &'static str) -> ErrorKind {
    ErrorKind::BAD_REQUEST.with_detail(detail, ns::COMMANDS)
}

/// Who executes what, in which language.
struct Request {
    iq: Stanza,
    from: Jid,
    command: &'static Command,
    lang: Lang,
}

fn begin(cx: &mut Cx<'_>, iq: &Stanza, payload: &Element) -> Result<Answer, ErrorKind> {
    let node = payload
        .attr("node")
        .filter(|_| iq.type_.as_deref() == Some("set"))
        .ok_or(ErrorKind::BAD_REQUEST)?;
    let command = find(node)?;
    let from = iq.from.clone().ok_or(FORBIDDEN)?;
    if !command.is_for(cx.server, &from) {
        return Err(FORBIDDEN);
    }
    let request = Request {
        iq: iq.clone(),
        lang: language(iq, payload)?,
        from,
        command,
    };
    let action = payload.attr("action").unwrap_or("execute");
    if !["execute", "cancel", "prev", "next", "complete"].contains(&action) {
        return Err(bad("malformed-action"));
    }
    match payload.attr("sessionid") {
        None => first(cx, request, action),
        Some(id) => later(cx, request, action, id, payload),
    }
}

/// Section 4.4 has it as `cancel`, against RFC 6120 section 8.3.3.4.
const FORBIDDEN: ErrorKind = ErrorKind {
    type_: "cancel",
    ..ErrorKind::FORBIDDEN
};

/// The command of a node. One of XEP-0133 that is not offered is not implemented (its section 5); others are not found.
fn find(node: &str) -> Result<&'static Command, ErrorKind> {
    let admin = node
        .strip_prefix(ns::ADMIN)
        .is_some_and(|n| n.starts_with('#'));
    table::ALL.iter().find(|c| c.node == node).ok_or(if admin {
        ErrorKind::FEATURE_NOT_IMPLEMENTED
    } else {
        ErrorKind::ITEM_NOT_FOUND
    })
}

/// Section 3.4.5: a language that the command itself names must be one of ours; the stream's is followed if it can be.
fn language(iq: &Stanza, payload: &Element) -> Result<Lang, ErrorKind> {
    if let Some(named) = payload.attr_ns(ns::XML, "lang") {
        return Lang::of(named).ok_or(bad("bad-locale"));
    }
    let lang = iq.lang.as_deref().and_then(Lang::of);
    Ok(lang.unwrap_or(Lang::En))
}

/// The first request of an execution: a form, or the command itself.
fn first(cx: &mut Cx<'_>, request: Request, action: &str) -> Result<Answer, ErrorKind> {
    let Request {
        command,
        lang,
        ref from,
        ..
    } = request;
    let Some(ask) = command.ask else {
        if !matches!(action, "execute" | "complete") {
            return Err(bad("bad-action"));
        }
        let id = cx.server.commands.begin(from, command.node);
        let _ = cx.server.commands.take(&id, from, command.node);
        return run(cx, request, id, Answers::default());
    };
    if action != "execute" {
        return Err(bad("bad-action"));
    }
    let fields = ask(cx.server, lang);
    let id = cx.server.commands.begin(from, command.node);
    let title = lang.pick(command.name);
    let hint = lang.pick(command.hint);
    let form = forms::form("form", ns::ADMIN, title, hint, &fields);
    let mut answer = element(&request, "executing", &id);
    let mut actions = Element::bare("actions", ns::COMMANDS);
    set(&mut actions, "execute", "complete");
    actions.append_child(Element::bare("complete", ns::COMMANDS));
    answer.append_child(actions);
    answer.append_child(form);
    Ok(Answer::Result(Some(answer)))
}

/// What follows: the form is submitted, or the execution is cancelled.
fn later(
    cx: &mut Cx<'_>,
    request: Request,
    action: &str,
    id: &str,
    payload: &Element,
) -> Result<Answer, ErrorKind> {
    let commands = &cx.server.commands;
    match commands.take(id, &request.from, request.command.node) {
        Ok(()) => {}
        Err(NotOpen::Unknown) => return Err(bad("bad-sessionid")),
        Err(NotOpen::Expired) => {
            return Err(ErrorKind::NOT_ALLOWED.with_detail("session-expired", ns::COMMANDS));
        }
    }
    let x = payload.get_child("x", ns::DATA_FORMS);
    let cancels = x.is_some_and(|x| x.attr("type") == Some("cancel"));
    if action == "cancel" || cancels {
        return Ok(Answer::Result(Some(element(&request, "canceled", id))));
    }
    let answers = if matches!(action, "execute" | "complete") {
        x.and_then(|x| Answers::read(x, ns::ADMIN))
            .filter(|a| fits(cx.server, &request, a))
            .ok_or(bad("bad-payload"))
    } else {
        Err(bad("bad-action"))
    };
    match answers {
        Ok(answers) => run(cx, request, id.to_owned(), answers),
        Err(error) => {
            // The form can be filled in again.
            commands.give_back(id);
            Err(error)
        }
    }
}

/// Whether the answers are such as the form asked for: nothing that is required is missing, choices are among those
/// offered, addresses are addresses.
fn fits(server: &Server, request: &Request, answers: &Answers) -> bool {
    let fields = request.command.ask.map(|ask| ask(server, request.lang));
    fields.unwrap_or_default().iter().all(|field| {
        let given = answers.all(&field.var);
        let chosen = |v: &&str| field.options.iter().any(|(_, o)| o == v);
        (!field.required || !given.is_empty())
            && (field.options.is_empty() || given.iter().all(chosen))
            && (!field.type_.starts_with("jid") || given.iter().all(|j| Jid::new(j).is_ok()))
            && (field.type_.ends_with("-multi") || given.len() <= 1)
    })
}

/// Executes: the work may wait for the disk, so it is done outside of the entity.
fn run(
    cx: &mut Cx<'_>,
    request: Request,
    id: String,
    answers: Answers,
) -> Result<Answer, ErrorKind> {
    let server: Arc<Server> = cx.server.arc().ok_or(ErrorKind::INTERNAL_SERVER_ERROR)?;
    let work = (request.command.run)(Run {
        server: server.clone(),
        from: request.from.clone(),
        answers,
        lang: request.lang,
    });
    Ok(cx.answer_later(async move {
        match work.await {
            Ok(done) => {
                let mut answer = element(&request, "completed", &id);
                finish(&mut answer, &request, done);
                request.iq.result().child(&answer)
            }
            Err(error) => {
                server.commands.give_back(&id);
                request.iq.error(&error)
            }
        }
    }))
}

fn finish(answer: &mut Element, request: &Request, done: Done) {
    if let Some(note) = done.note {
        let mut element = Element::bare("note", ns::COMMANDS);
        set(&mut element, "type", "info");
        element.append_text(request.lang.pick(note));
        answer.append_child(element);
    }
    if done.fields.is_empty() && done.inside.is_empty() {
        return;
    }
    let mut form = forms::form("result", request.command.form_type(), "", "", &done.fields);
    for element in done.inside {
        form.append_child(element);
    }
    answer.append_child(form);
}

/// A `<command/>` in answer (section 4.1).
fn element(request: &Request, status: &str, session: &str) -> Element {
    let mut element = Element::bare("command", ns::COMMANDS);
    set(&mut element, "node", request.command.node);
    set(&mut element, "status", status);
    set(&mut element, "sessionid", session);
    if let Ok(name) = rxml::NcName::try_from("lang") {
        let lang = request.lang.pick(("en", "zh"));
        element.set_attr(rxml::Namespace::XML, name, lang);
    }
    element
}

/// disco of the command list and of one command (section 2.2). `None`: there is no such node.
pub fn describe(
    cx: &Cx<'_>,
    iq: &Stanza,
    node: &str,
    query: &mut Element,
    info: bool,
) -> Option<Result<(), ErrorKind>> {
    let from = iq.from.as_ref()?;
    let lang = iq.lang.as_deref().and_then(Lang::of).unwrap_or(Lang::En);
    if node == ns::COMMANDS {
        if info {
            identity(query, "automation", "command-list", "");
            feature(query, ns::COMMANDS);
            return Some(Ok(()));
        }
        for command in table::ALL.iter().filter(|c| c.is_for(cx.server, from)) {
            let mut item = Element::bare("item", ns::DISCO_ITEMS);
            set(&mut item, "jid", cx.server.domain.as_str());
            set(&mut item, "node", command.node);
            set(&mut item, "name", lang.pick(command.name));
            query.append_child(item);
        }
        return Some(Ok(()));
    }
    let command = table::ALL.iter().find(|c| c.node == node)?;
    if !command.is_for(cx.server, from) {
        return Some(Err(FORBIDDEN));
    }
    if info {
        identity(query, "automation", "command-node", lang.pick(command.name));
        feature(query, ns::COMMANDS);
        feature(query, ns::DATA_FORMS);
    }
    Some(Ok(()))
}

//! Binding a resource, in the classic way (RFC 6120 section 7) and inline (XEP-0386), and going on with a session that
//! is there (XEP-0198 section 5).

use super::{Connection, Handover, Stop, failed};
use crate::entity::{self, Item, Wanted};
use crate::hooks::Inline;
use crate::mailbox::Mailbox;
use crate::server::{Server, random_id};
use crate::session::{Around, Enable, Start};
use crate::streams::Found;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use liao_proto::jid::{BareJid, FullJid};
use liao_proto::stanza::{ErrorKind, Kind, Stanza};
use liao_proto::xml::Frame;
use liao_proto::{minidom::Element, ns};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A session that begins.
pub struct Bound {
    /// Its place, until it runs.
    pub place: Place,
    /// Its id.
    pub id: u64,
    /// The full address.
    pub full: FullJid,
    /// What waits for it.
    pub mailbox: Arc<Mailbox>,
    /// How it begins.
    pub start: Box<Start>,
}

/// A resource that is bound for a connection that may end before its session runs: then it is given back.
pub struct Place {
    server: Arc<Server>,
    user: Option<BareJid>,
    id: u64,
}

impl Place {
    /// The session runs, and will unbind by itself.
    pub fn taken(mut self) {
        self.user = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(user) = self.user.take() {
            self.server.post(user, Item::Unbind(self.id));
        }
    }
}

impl Connection {
    /// Finds the session of an SM-ID: the connection goes to it, or what is to be said instead.
    pub(super) async fn resume(
        &mut self,
        user: &BareJid,
        sm_id: &str,
        h: Option<u32>,
        around: Around,
    ) -> Result<String, Stop> {
        match (self.server.find_stream(sm_id, user).await, h) {
            (Found::Session(session), Some(h)) => {
                Err(Stop::Resume(Box::new(Handover { session, h, around })))
            }
            (Found::Session(_), None) => Ok(failed("bad-request", None)),
            (Found::Gone(handled), _) => Ok(failed("item-not-found", handled)),
        }
    }

    /// `<resume/>` by itself.
    pub(super) async fn resume_alone(&mut self, frame: &Frame) -> Result<(), Stop> {
        let Some(user) = self.user.clone() else {
            return Ok(());
        };
        let h = frame.attr("h").and_then(|h| h.parse().ok());
        let sm_id = frame.attr("previd").unwrap_or_default();
        let failed = self.resume(&user, sm_id, h, Around::default()).await?;
        self.wire.queue(failed.as_bytes());
        Ok(())
    }

    /// RFC 6120 section 7.
    pub(super) async fn bind(&mut self, frame: Frame) -> Result<Option<Bound>, Stop> {
        let iq = Stanza::from_frame(frame).map_err(|_| Stop::Error("bad-format", ""))?;
        let Some(user) = self.user.clone() else {
            return Err(Stop::Error("not-authorized", ""));
        };
        let request = iq
            .get("bind", ns::BIND)
            .filter(|_| iq.type_.as_deref() == Some("set") && iq.kind == Kind::Iq);
        let Some(request) = request else {
            return Err(Stop::Error("not-authorized", "bind a resource first"));
        };
        let wanted = Wanted {
            resource: request.get_child("resource", ns::BIND).map(Element::text),
            ..Wanted::default()
        };
        let start = Start {
            lang: self.lang.clone(),
            ..Start::default()
        };
        match self.take_place(&user, wanted, start).await {
            Ok((bound, _)) => {
                let mut jid = Element::bare("jid", ns::BIND);
                jid.append_text(bound.full.as_str());
                let mut bind = Element::bare("bind", ns::BIND);
                bind.append_child(jid);
                self.wire.queue(
                    &Stanza::iq("result", iq.id.as_deref().unwrap_or_default())
                        .child(&bind)
                        .to_bytes(),
                );
                Ok(Some(bound))
            }
            Err(error) => {
                self.wire.queue(&iq.error(&error).to_bytes());
                Ok(None)
            }
        }
    }

    /// XEP-0386 section 3.2: the session and what stands in `<bound/>`. `None`: it cannot be; who has logged in may
    /// still try in the classic way, where the error has a place.
    pub(super) async fn bind2(
        &mut self,
        user: &BareJid,
        request: &Element,
        agent: Option<String>,
    ) -> Result<Option<(Bound, String)>, Stop> {
        let tag = request.get_child("tag", ns::BIND2).map(Element::text);
        let enable = request.get_child("enable", ns::SM);
        let wanted = Wanted {
            resource: Some(self.resource(user, tag.as_deref(), agent.as_deref())),
            client: agent,
            inline: Some(request.clone()),
        };
        let start = Start {
            enable: enable.map(|e| Enable::read(e.attr("resume"), e.attr("max"))),
            lang: self.lang.clone(),
            ..Start::default()
        };
        let (bound, answers) = match self.take_place(user, wanted, start).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::info!(%user, condition = error.condition, "a resource was not bound");
                return Ok(None);
            }
        };
        let mut out = String::new();
        for answer in answers {
            let element = match answer {
                Inline::Nothing => None,
                Inline::Answer(element) => Some(element),
                Inline::Later(work) => work.await,
            };
            if let Some(element) = element {
                out.push_str(&String::from(&element));
            }
        }
        Ok(Some((bound, out)))
    }

    /// `TAG/ID`, with the same id for the same program (section 3.2.1); it tells nothing of the program's own.
    fn resource(&self, user: &BareJid, tag: Option<&str>, agent: Option<&str>) -> String {
        let tag = tag.unwrap_or_default();
        let id = match agent {
            None => random_id(),
            Some(agent) => {
                let mut hash = Sha256::new();
                hash.update(self.server.store.secret());
                for part in ["resource", user.as_str(), tag, agent] {
                    hash.update(part);
                    hash.update([0]);
                }
                URL_SAFE_NO_PAD.encode(&hash.finalize()[..9])
            }
        };
        let whole = format!("{tag}/{id}");
        // What cannot be a part of a resource is left out.
        match user.with_resource_str(&whole) {
            Ok(_) if !tag.is_empty() => whole,
            _ => id,
        }
    }

    /// Asks the account for a resource.
    async fn take_place(
        &mut self,
        user: &BareJid,
        wanted: Wanted,
        start: Start,
    ) -> Result<(Bound, Vec<Inline>), ErrorKind> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let mailbox = Arc::new(Mailbox::new(self.server.bounds.mailbox_bytes));
        let id = self.server.session_id();
        let place = Place {
            server: self.server.clone(),
            user: Some(user.clone()),
            id,
        };
        let item = Item::Bind {
            id,
            wanted,
            mailbox: mailbox.clone(),
            reply,
        };
        self.server.post(user.clone(), item);
        let answer = answer.await;
        let entity::Bound { full, answers } =
            answer.unwrap_or(Err(ErrorKind::INTERNAL_SERVER_ERROR))?;
        let bound = Bound {
            place,
            id,
            full,
            mailbox,
            start: Box::new(start),
        };
        Ok((bound, answers))
    }
}

//! What we and others do beside saying something: edits, recalls, reactions, nudges, typing, blocking.

use super::said::Said;
use super::session::{Asked, Session};
use super::{Xmpp, incoming};
use crate::backend::{Command, Event, Message, More, Peer, Reply};
use crate::features::{By, Change, block, edit, files, nudge, reactions, recall, reply, typing};
use crate::{Done, Own, now_ms, random_id};
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xml::escape;
use std::collections::{HashMap, HashSet};
use tokio::time::Instant;

/// Who types and who was nudged, on one connection.
#[derive(Default)]
pub(super) struct Signs {
    /// Who tells when they type, and so is told.
    tells: HashSet<Peer>,
    /// What we told last: that we type, or that we stopped.
    told: HashMap<Peer, bool>,
    /// When somebody nudged us or we them last.
    nudges: HashMap<(Peer, bool), Instant>,
    /// Whom we hear nothing of.
    pub(super) blocked: Vec<Peer>,
}

impl Signs {
    /// Whether a nudge is due again: ours, or theirs.
    fn may_nudge(&mut self, peer: &str, ours: bool) -> bool {
        let now = Instant::now();
        self.nudges.retain(|_, at| now - *at < nudge::PAUSE);
        let free = !self.nudges.contains_key(&(peer.to_owned(), ours));
        if free {
            self.nudges.insert((peer.to_owned(), ours), now);
        }
        free
    }
}

/// What is to be done for a command that changes a message.
pub(super) struct Act {
    event: Event,
    /// The stanza and its id, if it has to go out; else the message has not gone out yet itself.
    out: Option<(String, String)>,
}

/// The words and payloads of a message as they go out.
pub(super) fn content(message: &Message) -> String {
    match (&message.more.file, &message.more.reply) {
        (Some(file), _) => files::link(file),
        (None, Some(reply)) => reply::answer(reply, &message.text),
        (None, None) => format!("<body>{}</body>", escape(&message.text)),
    }
}

/// Whether the person lets others know this; they do unless they said no.
pub(super) fn lets_know(xmpp: &Xmpp, what: &str) -> bool {
    let said = xmpp.store.preference(&xmpp.account.jid, what);
    said.ok().flatten().as_deref() != Some("no")
}

/// What an answer quotes.
pub(super) fn quoted(xmpp: &Xmpp, peer: &str, of: &str) -> More {
    let me = &xmpp.account.jid;
    let found = xmpp.store.message(me, peer, of, None).ok().flatten();
    let reply = found.map(|found| Reply {
        id: of.to_owned(),
        to: Some(if found.outgoing {
            me.clone()
        } else {
            found.peer
        }),
        quote: reply::quote(&found.text),
    });
    More {
        reply,
        ..More::default()
    }
}

/// Edits, recalls and reactions: done here at once, and kept until the server has them. Words if it cannot be.
pub(super) fn act(xmpp: &Xmpp, said: &Said, command: Command) -> Result<Act, String> {
    let (me, store) = (xmpp.account.jid.as_str(), &xmpp.store);
    let own = Own::of(command)?;
    let Done {
        mut before, event, ..
    } = own.make(store, me)?;
    let Own { to, change, .. } = own;
    if said.is_fresh(change.of()) && !matches!(change, Change::React { .. }) {
        return Ok(Act { event, out: None });
    }
    let payload = match &change {
        Change::Edit { of, text } => {
            before.text.clone_from(text);
            format!("{}{}", content(&before), edit::replace(of))
        }
        Change::Recall { of } => recall::retract(of),
        Change::React { of, emojis } => reactions::reactions(of, emojis),
    };
    let id = random_id();
    let xml = format!(
        "<message type='chat' id='{id}' to='{}'>{payload}<origin-id xmlns='{}' id='{id}'/></message>",
        escape(&to),
        ns::STANZA_ID
    );
    store.act(me, &id, &xml).map_err(|e| e.to_string())?;
    Ok(Act {
        event,
        out: Some((id, xml)),
    })
}

impl Act {
    /// What the view is told.
    pub(super) fn event(self) -> Event {
        self.event
    }
}

impl Session<'_> {
    pub(super) async fn change(&mut self, command: Command) {
        match act(&self.program.xmpp, &self.program.said, command) {
            Ok(act) => {
                if let Some((id, xml)) = &act.out
                    && !self.archive.holds_the_outbox()
                {
                    self.write_kept(id, xml);
                }
                self.program.tell(act.event).await;
            }
            Err(words) => self.program.tell(Event::Notice(words)).await,
        }
    }

    /// Somebody, perhaps we on another device, changes a message; `time_ms`: when, if the archive tells it.
    pub(super) async fn changed(
        &mut self,
        stanza: &Stanza,
        ours: bool,
        time_ms: Option<i64>,
    ) -> bool {
        let Some(change) = Change::read(stanza) else {
            return false;
        };
        let other = if ours { &stanza.to } else { &stanza.from };
        let Some(peer) = other.as_ref().map(|o| o.to_bare().to_string()) else {
            return true;
        };
        let me = self.program.me();
        let by = By {
            who: if ours { me.to_owned() } else { peer.clone() },
            outgoing: ours,
            time_ms: time_ms
                .or_else(|| incoming::stamp(stanza))
                .unwrap_or_else(now_ms),
        };
        match self
            .program
            .xmpp
            .store
            .change_message(me, &peer, &by, &change)
        {
            Ok(Some(message)) => self.program.tell(Event::Changed(message)).await,
            Ok(None) => {}
            Err(error) => self.program.tell(Event::Notice(error.to_string())).await,
        }
        true
    }

    /// Nudges and who types, in a message that came by itself.
    pub(super) async fn signs(&mut self, stanza: &Stanza) {
        let Some(peer) = stanza.from.as_ref().map(|f| f.to_bare().to_string()) else {
            return;
        };
        if nudge::is_nudge(stanza) && self.signs.may_nudge(&peer, false) {
            let peer = peer.clone();
            self.program.tell(Event::Nudge { peer }).await;
        }
        if let Some(composing) =
            typing::composing(stanza).filter(|_| !stanza.has("delay", ns::DELAY))
        {
            self.signs.tells.insert(peer.clone());
            self.program.tell(Event::Typing { peer, composing }).await;
        }
    }

    pub(super) async fn nudge(&mut self, to: &str) {
        if self.signs.may_nudge(to, true) {
            self.queue(&nudge::nudge(to));
        } else {
            let words = "not so often: once in five seconds".to_owned();
            self.program.tell(Event::Notice(words)).await;
        }
    }

    /// Tells that we type, if they tell it too, and the same only once (XEP-0085 sections 5.1 and 5.3).
    pub(super) fn type_to(&mut self, to: &str, composing: bool) {
        let told = self.signs.told.get(to).copied().unwrap_or(false);
        if told != composing
            && self.signs.tells.contains(to)
            && self.shows_presence_to(to)
            && lets_know(&self.program.xmpp, "tell_typing")
        {
            self.signs.told.insert(to.to_owned(), composing);
            self.queue(&typing::state(to, composing));
        }
    }

    /// What we said says that we no longer type.
    pub(super) fn typed(&mut self, to: &str) {
        self.signs.told.remove(to);
    }

    pub(super) fn block(&mut self, peer: &str, block: bool) {
        let id = self.ask(Asked::Block);
        self.queue(&block::set(&id, peer, block));
    }

    pub(super) async fn tell_blocked(&mut self) {
        let blocked = self.signs.blocked.clone();
        self.program.tell(Event::Blocked(blocked)).await;
    }
}

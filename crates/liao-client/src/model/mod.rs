//! What a person would remember of a backend's events: pure state, `apply(event)` (DESIGN section 6).

mod window;

use crate::backend::{Contact, Event, Message, Peer, Show, State};
use crate::store::Conversation;
use std::collections::{BTreeMap, HashMap};

pub use window::{Line, Window};

/// Callers that have gone and whose words are still shown (plain sockets).
const GONE: usize = 100;

/// One contact or conversation.
#[derive(Debug, Default)]
pub struct Person {
    /// As the contact list has it.
    pub contact: Contact,
    /// Online in any way.
    pub available: bool,
    /// Away, busy …
    pub show: Option<Show>,
    /// The status line.
    pub status: Option<String>,
    /// They ask to be a friend.
    pub requests: bool,
    /// With these words.
    pub greeting: Option<String>,
    /// Messages since they were last read.
    pub unread: usize,
    /// Orders conversations, the most recent highest; 0: none yet.
    pub recent: u64,
    /// The newest message.
    pub last: Option<Message>,
    /// Messages of ours that were refused since the conversation was last looked at.
    pub failed: usize,
    /// Stays on top.
    pub pinned: bool,
    /// Makes no noise.
    pub muted: bool,
    /// What was said, as far as it is in memory.
    pub window: Window,
}

impl Person {
    /// There is a conversation, not only a contact.
    pub fn talked(&self) -> bool {
        self.recent > 0 || self.pinned
    }

    /// A contact of the list, not only somebody who wrote.
    pub fn is_contact(&self) -> bool {
        !self.contact.subscription.is_empty()
            && (self.contact.subscription != "none" || self.contact.asked)
    }
}

/// The state behind a view.
#[derive(Debug, Default)]
pub struct Model {
    /// As whom we are online.
    pub me: Option<String>,
    /// Why we are not, if the backend said so.
    pub offline: Option<String>,
    /// Everyone, by address.
    pub people: BTreeMap<Peer, Person>,
    /// There is no disk behind it (plain sockets): so many lines of a conversation are kept in memory.
    pub memory: Option<usize>,
    clock: u64,
    /// How many share the part before the @.
    locals: HashMap<String, usize>,
}

/// Why a name does not say whom.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lookup {
    /// Nobody has it.
    #[error("nobody here is called {0}")]
    Nobody(String),
    /// Several have it.
    #[error("{0} could be {list}", list = .1.join(" or "))]
    Several(String, Vec<Peer>),
}

impl Model {
    /// Takes in one event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Online { me } => {
                self.me = Some(me.clone());
                self.offline = None;
            }
            Event::Offline { why, .. } => {
                self.gone();
                self.offline = Some(why.clone());
            }
            Event::Closed { .. } => self.gone(),
            Event::Contact(contact) => {
                let person = self.person(&contact.peer);
                person.contact = contact.clone();
                // Friends both ways have no open request.
                person.requests &= !matches!(contact.subscription.as_str(), "from" | "both");
            }
            Event::Gone(peer) => self.forget(peer),
            Event::Presence {
                peer,
                available,
                show,
                status,
            } => {
                let person = self.person(peer);
                (person.available, person.show) = (*available, *show);
                person.status.clone_from(status);
            }
            Event::Request { peer, greeting } => {
                let person = self.person(peer);
                person.requests = true;
                person.greeting.clone_from(greeting);
            }
            Event::Message(message) => self.message(message, State::Sent),
            Event::State { id, state } => self.advance(id, state),
            Event::ReadElsewhere { peer } => self.read(peer),
            Event::Changed(message) => self.changed(message),
            Event::Notice(_)
            | Event::Ready
            | Event::CaughtUp { .. }
            | Event::History { .. }
            | Event::Progress { .. }
            | Event::Saved { .. }
            | Event::Typing { .. }
            | Event::Nudge { .. }
            | Event::Blocked(_) => {}
        }
    }

    /// A message has a new form.
    fn changed(&mut self, message: &Message) {
        let person = self.person(&message.peer);
        let same = |m: &Message| m.outgoing == message.outgoing && m.id == message.id;
        if let Some(last) = person.last.as_mut().filter(|m| same(m)) {
            last.clone_from(message);
        }
        person.window.change(message);
    }

    fn gone(&mut self) {
        self.me = None;
        for person in self.people.values_mut() {
            (person.available, person.show, person.status) = (false, None, None);
        }
    }

    /// There is no disk behind the conversations.
    pub fn only_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// No contact any more; what was said with them stays, if it is kept anywhere.
    fn forget(&mut self, peer: &str) {
        let nowhere = self.memory == Some(0);
        match self.people.get_mut(peer) {
            Some(person) if person.talked() && !nowhere => {
                let groups = std::mem::take(&mut person.contact.groups);
                let peer = peer.to_owned();
                person.contact = Contact {
                    peer,
                    groups,
                    ..Contact::default()
                };
                (person.available, person.requests) = (false, false);
                if self.memory.is_some() {
                    self.forget_the_oldest();
                }
            }
            Some(_) => self.drop_person(peer),
            None => {}
        }
    }

    /// Callers that have gone are kept for a while, not for ever.
    fn forget_the_oldest(&mut self) {
        let gone = self.people.values().filter(|p| !p.available);
        if gone.clone().count() > GONE
            && let Some(oldest) = gone.min_by_key(|p| p.recent)
        {
            let oldest = oldest.contact.peer.clone();
            self.drop_person(&oldest);
        }
    }

    /// Nothing of somebody is kept.
    pub fn drop_person(&mut self, peer: &str) {
        self.people.remove(peer);
        if let Some(count) = self.locals.get_mut(local(peer)) {
            *count -= 1;
        }
    }

    fn person(&mut self, peer: &str) -> &mut Person {
        if !self.people.contains_key(peer) {
            *self.locals.entry(local(peer).to_owned()).or_default() += 1;
            let mut person = Person::default();
            peer.clone_into(&mut person.contact.peer);
            person.window.open = self.memory.is_some_and(|lines| lines > 0);
            self.people.insert(peer.to_owned(), person);
        }
        self.people.entry(peer.to_owned()).or_default()
    }

    fn message(&mut self, message: &Message, state: State) {
        self.clock += 1;
        let (clock, memory) = (self.clock, self.memory);
        let person = self.person(&message.peer);
        person.recent = clock;
        person.unread += usize::from(!message.outgoing);
        person.last = Some(message.clone());
        person.window.push(message.clone(), state);
        person.window.trim(memory);
    }

    /// We say something: it is shown before anyone has taken it.
    pub fn say(&mut self, message: &Message) {
        self.message(message, State::Queued);
    }

    fn advance(&mut self, id: &str, state: &State) {
        let failed = matches!(state, State::Failed { .. });
        for person in self.people.values_mut() {
            if person.window.advance(id, state) {
                person.failed += usize::from(failed);
                return;
            }
        }
    }

    /// What the disk knows of conversations, the one with the newest message last.
    pub fn remember(&mut self, conversations: Vec<Conversation>) {
        for kept in conversations {
            self.clock += u64::from(kept.last.is_some());
            let recent = if kept.last.is_some() { self.clock } else { 0 };
            let person = self.person(&kept.peer);
            person.recent = person.recent.max(recent);
            person.unread = kept.unread;
            (person.pinned, person.muted) = (kept.pinned, kept.muted);
            person.last = kept.last.map(|k| k.message);
        }
    }

    /// The stretch of a conversation; it is made if nothing was said yet.
    pub fn window(&mut self, peer: &str) -> &mut Window {
        &mut self.person(peer).window
    }

    /// They were read.
    pub fn read(&mut self, peer: &str) {
        if let Some(person) = self.people.get_mut(peer) {
            (person.unread, person.failed) = (0, 0);
        }
    }

    /// How a contact is called on the screen: its remark name, else the part before the @, if that is unique.
    pub fn name<'a>(&'a self, peer: &'a str) -> &'a str {
        if let Some(name) = self
            .people
            .get(peer)
            .and_then(|p| p.contact.name.as_deref())
        {
            return name;
        }
        if !peer.contains('@') {
            return peer;
        }
        let short = local(peer);
        if self.locals.get(short).is_some_and(|count| *count > 1) {
            peer
        } else {
            short
        }
    }

    /// Whom a name means: an address, a remark name, the part before an @, or the beginning of one of these if it is
    /// the only one.
    pub fn lookup(&self, name: &str) -> Result<Peer, Lookup> {
        if self.people.contains_key(name) {
            return Ok(name.to_owned());
        }
        let wanted = name.to_lowercase();
        let names = |peer: &Peer, person: &Person| {
            let local = peer.split('@').next().unwrap_or(peer).to_lowercase();
            [
                Some(peer.to_lowercase()),
                Some(local),
                person.contact.name.as_ref().map(|n| n.to_lowercase()),
            ]
        };
        let find = |fits: &dyn Fn(&str) -> bool| -> Vec<Peer> {
            self.people
                .iter()
                .filter(|(peer, person)| names(peer, person).iter().flatten().any(|n| fits(n)))
                .map(|(peer, _)| peer.clone())
                .collect()
        };
        let mut found = find(&|n| n == wanted);
        if found.is_empty() {
            found = find(&|n| n.starts_with(&wanted));
        }
        match found.len() {
            0 => Err(Lookup::Nobody(name.to_owned())),
            1 => Ok(found.remove(0)),
            _ => Err(Lookup::Several(name.to_owned(), found)),
        }
    }

    /// Conversations and contacts: pinned ones first, then the most recent, then who is online, then by name.
    pub fn list(&self) -> Vec<&Person> {
        let mut all: Vec<&Person> = self.people.values().collect();
        all.sort_by_cached_key(|p| {
            (
                !p.pinned,
                std::cmp::Reverse(p.recent),
                !p.available,
                self.name(&p.contact.peer).to_lowercase(),
            )
        });
        all
    }
}

/// The part before the @.
fn local(peer: &str) -> &str {
    peer.split('@').next().unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(peer: &str, name: Option<&str>) -> Event {
        Event::Contact(Contact {
            peer: peer.into(),
            name: name.map(str::to_owned),
            ..Contact::default()
        })
    }

    #[test]
    fn a_name_means_one_contact_or_says_which_it_could_mean() {
        let mut model = Model::default();
        for event in [
            contact("alice@a.example", None),
            contact("alice@b.example", Some("小明")),
            contact("bob@a.example", None),
        ] {
            model.apply(&event);
        }
        assert_eq!(model.lookup("bob").unwrap(), "bob@a.example");
        assert_eq!(model.lookup("BO").unwrap(), "bob@a.example");
        assert_eq!(model.lookup("小明").unwrap(), "alice@b.example");
        assert_eq!(model.lookup("alice@a.example").unwrap(), "alice@a.example");
        assert!(matches!(model.lookup("alice"), Err(Lookup::Several(_, all)) if all.len() == 2));
        assert!(matches!(model.lookup("carol"), Err(Lookup::Nobody(_))));
        assert_eq!(model.name("bob@a.example"), "bob");
        assert_eq!(model.name("alice@a.example"), "alice@a.example");
        assert_eq!(model.name("alice@b.example"), "小明");
    }

    #[test]
    fn the_last_who_spoke_is_first_and_going_offline_takes_everyone_along() {
        let mut model = Model::default();
        model.apply(&contact("a@x", None));
        model.apply(&contact("b@x", None));
        model.apply(&Event::Presence {
            peer: "a@x".into(),
            available: true,
            show: None,
            status: None,
        });
        model.apply(&Event::Message(Message {
            peer: "b@x".into(),
            outgoing: false,
            id: "1".into(),
            text: "hi".into(),
            time_ms: 0,
            delayed: false,
            ..Message::default()
        }));
        assert_eq!(model.list()[0].contact.peer, "b@x");
        assert_eq!(model.people["b@x"].unread, 1);
        model.read("b@x");
        assert_eq!(model.people["b@x"].unread, 0);
        model.apply(&Event::Offline {
            why: String::new(),
            retry_s: 1,
        });
        assert!(!model.people["a@x"].available);
    }
}

//! What a person would remember of a backend's events: pure state, `apply(event)` (DESIGN section 6).

use crate::backend::{Contact, Event, Message, Peer, Show};
use std::collections::BTreeMap;

/// One contact or conversation.
#[derive(Debug, Clone, Default)]
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
    /// Messages since they were last read.
    pub unread: usize,
    /// Orders conversations, the most recent highest; 0: none yet.
    pub recent: u64,
}

/// The state behind a view.
#[derive(Debug, Default)]
pub struct Model {
    /// As whom we are online.
    pub me: Option<String>,
    /// Everyone, by address.
    pub people: BTreeMap<Peer, Person>,
    clock: u64,
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
            Event::Online { me } => self.me = Some(me.clone()),
            Event::Offline { .. } | Event::Closed { .. } => {
                self.me = None;
                self.people.values_mut().for_each(|p| p.available = false);
            }
            Event::Contact(contact) => {
                let person = self.person(&contact.peer);
                person.contact = contact.clone();
                // Friends both ways have no open request.
                person.requests &= !matches!(contact.subscription.as_str(), "from" | "both");
            }
            Event::Gone(peer) => drop(self.people.remove(peer)),
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
            Event::Request { peer, .. } => self.person(peer).requests = true,
            Event::Message(message) => self.message(message),
            Event::ReadElsewhere { peer } => self.read(peer),
            Event::Notice(_)
            | Event::Ready
            | Event::State { .. }
            | Event::CaughtUp { .. }
            | Event::History { .. } => {}
        }
    }

    fn person(&mut self, peer: &str) -> &mut Person {
        self.people
            .entry(peer.to_owned())
            .or_insert_with(|| Person {
                contact: Contact {
                    peer: peer.to_owned(),
                    ..Contact::default()
                },
                ..Person::default()
            })
    }

    fn message(&mut self, message: &Message) {
        self.clock += 1;
        let clock = self.clock;
        let person = self.person(&message.peer);
        person.recent = clock;
        person.unread += usize::from(!message.outgoing);
    }

    /// They were read.
    pub fn read(&mut self, peer: &str) {
        if let Some(person) = self.people.get_mut(peer) {
            person.unread = 0;
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
        let Some((local, _)) = peer.split_once('@') else {
            return peer;
        };
        let same = |p: &&Peer| p.split_once('@').is_some_and(|(l, _)| l == local);
        if self.people.keys().filter(same).count() > 1 {
            peer
        } else {
            local
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

    /// Conversations and contacts: the most recent first, then who is online, then by name.
    pub fn list(&self) -> Vec<&Person> {
        let mut all: Vec<&Person> = self.people.values().collect();
        all.sort_by_key(|p| {
            (
                std::cmp::Reverse(p.recent),
                !p.available,
                self.name(&p.contact.peer).to_lowercase(),
            )
        });
        all
    }
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

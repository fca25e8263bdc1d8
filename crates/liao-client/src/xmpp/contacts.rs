//! Contacts, friendship and who is where (RFC 6121 sections 2 to 4).

use super::incoming;
use super::session::Session;
use crate::backend::{Event, Show};
use liao_proto::jid::BareJid;
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xml::escape;

impl Session<'_> {
    /// Whether we let somebody know when we are here: they may know, too, what we got and read (XEP-0184 section 8,
    /// XEP-0333 section 7).
    pub(super) fn shows_presence_to(&self, peer: &str) -> bool {
        let friend = self.carried.friends.get(peer);
        friend.is_some_and(|(s, _)| matches!(s.as_str(), "from" | "both"))
    }

    /// Answers a friend request, and asks back if that was not done (RFC 6121 section 3.1.4).
    pub(super) fn answer_request(&mut self, to: &str, accept: bool) {
        let type_ = if accept { "subscribed" } else { "unsubscribed" };
        self.queue(&format!("<presence type='{type_}' to='{}'/>", escape(to)));
        let (subscription, asked) = self.carried.friends.get(to).cloned().unwrap_or_default();
        if accept && !asked && !matches!(subscription.as_str(), "to" | "both") {
            self.queue(&format!("<presence type='subscribe' to='{}'/>", escape(to)));
        }
    }

    /// Forgets a contact (RFC 6121 section 2.5).
    pub(super) fn remove_contact(&mut self, peer: &str) {
        let item = format!("<item jid='{}' subscription='remove'/>", escape(peer));
        self.set_roster(&item);
    }

    /// Our own availability (RFC 6121 section 4.7).
    pub(super) fn be(&mut self, show: Option<Show>, status: Option<&str>) {
        let show = show.map_or(String::new(), |s| format!("<show>{}</show>", s.word()));
        let status = status.map_or(String::new(), |s| format!("<status>{}</status>", escape(s)));
        self.queue(&format!("<presence>{show}{status}</presence>"));
    }

    /// Asks, and answers in advance what the other will ask back (RFC 6121 sections 3.1.1 and 3.4).
    pub(super) async fn befriend(&mut self, to: &str, name: Option<&str>, greeting: Option<&str>) {
        let Ok(jid) = BareJid::new(to) else {
            let words = format!("{to:?} is no address such as name@server");
            return self.program.tell(Event::Notice(words)).await;
        };
        let jid = escape(jid.as_str());
        let name = name.map_or(String::new(), |n| format!(" name='{}'", escape(n)));
        self.set_roster(&format!("<item jid='{jid}'{name}/>"));
        let greeting =
            greeting.map_or(String::new(), |g| format!("<status>{}</status>", escape(g)));
        self.queue(&format!(
            "<presence type='subscribe' to='{jid}'>{greeting}</presence>"
        ));
        self.queue(&format!("<presence type='subscribed' to='{jid}'/>"));
        self.program
            .tell(Event::Notice(format!("asked {to}")))
            .await;
    }

    /// Names a contact and puts them into groups (RFC 6121 section 2.4); an empty name is none (section 2.1.2.4).
    pub(super) fn arrange(&mut self, peer: &str, name: Option<&str>, groups: &[String]) {
        let name = name.filter(|n| !n.is_empty());
        let name = name.map_or(String::new(), |n| format!(" name='{}'", escape(n)));
        let groups: String = groups
            .iter()
            .map(|g| format!("<group>{}</group>", escape(g)))
            .collect();
        self.set_roster(&format!(
            "<item jid='{}'{name}>{groups}</item>",
            escape(peer)
        ));
    }

    fn set_roster(&mut self, item: &str) {
        let iq = format!(
            "<iq type='set' id='{}'><query xmlns='{}'>{item}</query></iq>",
            self.id(),
            ns::ROSTER
        );
        self.queue(&iq);
    }

    /// The contact list, whole or what changed in it.
    pub(super) async fn contacts(&mut self, stanza: &Stanza, query: &Element) {
        for event in incoming::contacts(query) {
            match &event {
                Event::Contact(c) => {
                    let how_far = (c.subscription.clone(), c.asked);
                    self.carried.friends.insert(c.peer.clone(), how_far);
                }
                Event::Gone(peer) => drop(self.carried.friends.remove(peer)),
                _ => {}
            }
            self.program.tell(event).await;
        }
        if stanza.type_str() == "set" {
            self.answer(&stanza.result());
        } else {
            self.program.tell(Event::Ready).await;
            self.tell_what_was_seen().await;
        }
    }

    pub(super) async fn presence(&mut self, stanza: &Stanza) {
        let Some(from) = &stanza.from else { return };
        let peer = from.to_bare().to_string();
        match stanza.type_.as_deref() {
            None | Some("unavailable") => {
                if peer == self.bare.as_str() {
                    return;
                }
                let resource = from.resource().map(ToString::to_string).unwrap_or_default();
                let resources = self.carried.online.entry(peer.clone()).or_default();
                if stanza.type_.is_none() {
                    resources.insert(resource);
                } else {
                    resources.remove(&resource);
                    if !resources.is_empty() {
                        return;
                    }
                }
                let event = incoming::availability(stanza, &peer);
                if stanza.type_.is_none() {
                    self.carried.seen.insert(peer, event.clone());
                } else {
                    self.carried.seen.remove(&peer);
                }
                self.program.tell(event).await;
            }
            Some("subscribe") => {
                let (subscription, asked) =
                    self.carried.friends.get(&peer).cloned().unwrap_or_default();
                if asked || matches!(subscription.as_str(), "to" | "both") {
                    // We asked first: that they ask back is the answer.
                    self.queue(&format!(
                        "<presence type='subscribed' to='{}'/>",
                        escape(&peer)
                    ));
                    return;
                }
                let greeting = stanza
                    .text_of("status", ns::CLIENT)
                    .filter(|s| !s.is_empty());
                self.program.tell(Event::Request { peer, greeting }).await;
            }
            Some("subscribed") => {
                self.program
                    .tell(Event::Notice(format!("{peer} is your friend now")))
                    .await
            }
            Some("unsubscribed") => {
                self.program
                    .tell(Event::Notice(format!(
                        "{peer} declined, or is no longer your friend"
                    )))
                    .await;
            }
            Some("error") => {
                let words = format!("{peer}: {}", incoming::error_words(stanza));
                self.program.tell(Event::Notice(words)).await;
            }
            Some(_) => {}
        }
    }
}

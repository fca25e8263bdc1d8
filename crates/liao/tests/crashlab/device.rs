//! One device of a person: it sends and receives, loses its connection, resumes or sends again what the server has not
//! counted (XEP-0198).

use super::Lab;
use super::ledger::{Fault, Message, Told};
use super::line::{Gone, Heard, Line};
use super::random::Random;
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::xml::Frame;
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

/// Stanzas that a device has on their way at most.
const WINDOW: usize = 40;

/// What a device sends again after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// What is beyond `<failed h/>`, with the same origin-ids.
    Beyond,
    /// The same, but its messages have no origin-ids: only a truthful `h` keeps them from being there twice.
    Bare,
    /// All that it has not known to be counted when the connection broke, and a few more: it has origin-ids.
    All,
}

/// When a device is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    Always,
    /// For one server, and not for the next.
    Visits,
    /// At the end.
    Late,
}

/// A device and its habits.
#[derive(Debug, Clone)]
pub struct Habits {
    pub account: String,
    pub resource: &'static str,
    pub managed: bool,
    pub there: There,
    pub carbons: bool,
    pub again: Again,
    /// To whom it sends; nobody: it only receives.
    pub to: Vec<String>,
}

#[derive(Clone)]
enum What {
    Message(String),
    Roster(u64),
    /// Nothing to commit.
    Light,
}

#[derive(Clone)]
struct Sent {
    xml: String,
    what: What,
}

/// Stream management of the present session, or of the last one.
#[derive(Default)]
struct Managed {
    id: String,
    /// Stanzas received.
    incoming: u32,
    /// Of those sent, how many the server has counted.
    counted: u64,
    /// The last of these that had something to commit.
    counted_heavy: u64,
}

/// The device.
pub struct Device {
    lab: Rc<Lab>,
    index: usize,
    habits: Habits,
    random: Random,
    number: u64,
    roster: u64,
    sm: Option<Managed>,
    /// Sent and not counted, oldest first.
    out: VecDeque<Sent>,
    /// The newest that were counted.
    recent: VecDeque<Sent>,
    /// Messages seen in this session.
    here: HashSet<String>,
    asked: bool,
}

impl Device {
    pub fn new(lab: Rc<Lab>, index: usize, habits: Habits, random: Random) -> Device {
        Device {
            lab,
            index,
            habits,
            random,
            number: 0,
            roster: 0,
            sm: None,
            out: VecDeque::new(),
            recent: VecDeque::new(),
            here: HashSet::new(),
            asked: false,
        }
    }

    /// Lives until the end of the test.
    pub async fn live(mut self) {
        let mut server = self.lab.server.clone();
        loop {
            let now = server.borrow_and_update().clone();
            if now.over {
                return;
            }
            let coming = match self.habits.there {
                There::Always => true,
                There::Visits => {
                    now.draining || (now.round as usize + self.index).is_multiple_of(2)
                }
                There::Late => now.draining,
            };
            match now.at.filter(|_| coming) {
                Some(at) => {
                    self.lab.talking(1);
                    // Cut off, or the server is gone: the next look shows which.
                    let _ = self.talk(at, now.round).await;
                    self.lab.talking(-1);
                }
                None => drop(server.changed().await),
            }
        }
    }

    fn fault(&self, fault: Fault) {
        self.lab.ledger.borrow_mut().fault(fault);
    }

    fn name(&self) -> String {
        format!("{}/{}", self.habits.account, self.habits.resource)
    }

    async fn talk(&mut self, at: std::net::SocketAddr, round: u32) -> Result<(), Gone> {
        let mut line = Line::log_in(at, &self.habits.account).await?;
        if !self.resume(&mut line).await? {
            self.begin(&mut line).await?;
        }
        let mut server = self.lab.server.clone();
        // Some connections last for some bursts only.
        let mut bursts = match self.lab.cuts && self.random.once_in(3) {
            true => self.random.between(1, 12),
            false => u64::MAX,
        };
        loop {
            let draining = server.borrow().draining;
            if !draining && !self.habits.to.is_empty() && self.out.len() < WINDOW {
                if bursts == 0 {
                    return Err(Gone);
                }
                bursts -= 1;
                self.burst(&mut line, round);
            }
            if !self.out.is_empty() && !self.asked && (draining || self.out.len() >= WINDOW) {
                self.ask(&mut line);
            }
            self.lab.sent_now(self.index, self.out.len());
            tokio::select! {
                heard = line.next() => if let Heard::Element(frame) = heard? {
                    self.element(&mut line, &frame)?;
                },
                changed = server.changed() => {
                    if changed.is_err() || server.borrow().over {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// `true`: the old session goes on.
    async fn resume(&mut self, line: &mut Line) -> Result<bool, Gone> {
        let Some(sm) = self.sm.as_ref().filter(|sm| !sm.id.is_empty()) else {
            return Ok(false);
        };
        let (id, h) = (&sm.id, sm.incoming);
        line.queue(&format!(
            "<resume xmlns='{}' previd='{id}' h='{h}'/>",
            ns::SM
        ));
        let answer = line.element().await?;
        let h = answer.attr("h").and_then(|h| h.parse().ok());
        match (answer.name(), h) {
            ("resumed", Some(h)) => {
                self.counted(h, "resumed");
                for sent in &self.out {
                    line.queue(&sent.xml);
                }
                self.asked = false;
                self.lab.count(|c| c.resumed += 1);
                Ok(true)
            }
            ("failed", h) => {
                self.failed(h);
                Ok(false)
            }
            _ => {
                self.fault(Fault::Other(format!("{answer:?} answers a <resume/>")));
                Err(Gone)
            }
        }
    }

    /// The session is over; `h` is what the server had handled of it (section 5). Without it, nothing is known.
    fn failed(&mut self, h: Option<u32>) {
        let heavy = self.sm.as_ref().map_or(0, |sm| sm.counted_heavy);
        let counted = self.sm.as_ref().map_or(0, |sm| sm.counted);
        if u64::from(h.unwrap_or(0)) < heavy {
            let words = format!(
                "{} was told that {heavy} are counted, now <failed h={h:?}/>",
                self.name()
            );
            self.fault(Fault::Lie(words));
        }
        self.lab.count(|c| match h {
            Some(_) => c.failed_with_h += 1,
            None => c.failed_without_h += 1,
        });
        let before: Vec<Sent> = self.out.iter().cloned().collect();
        if let Some(h) = h.filter(|h| u64::from(*h) > counted) {
            self.counted(h, "failed");
        }
        if self.habits.again == Again::All {
            self.out = self
                .recent
                .drain(..)
                .filter(|s| matches!(s.what, What::Message(_)))
                .collect();
            let mut known: HashSet<String> = self.out.iter().map(|s| s.xml.clone()).collect();
            self.out
                .extend(before.into_iter().filter(|s| known.insert(s.xml.clone())));
        }
        self.sm = None;
    }

    /// A new session, and all that is still to be sent again.
    async fn begin(&mut self, line: &mut Line) -> Result<(), Gone> {
        self.here.clear();
        self.recent.clear();
        self.asked = false;
        let resource = self.habits.resource;
        line.queue(&format!(
            "<iq type='set' id='bind'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
            ns::BIND
        ));
        if line.element().await?.attr("type") != Some("result") {
            self.fault(Fault::Other(format!("{} cannot bind", self.name())));
            return Err(Gone);
        }
        let again = std::mem::take(&mut self.out);
        if self.habits.managed {
            line.queue(&format!("<enable xmlns='{}' resume='true'/>", ns::SM));
            let enabled = line.element().await;
            let Ok(enabled) = enabled else {
                self.out = again;
                return Err(Gone);
            };
            let id = enabled.attr("id").unwrap_or_default().to_owned();
            self.sm = Some(Managed {
                id,
                ..Managed::default()
            });
        }
        if self.habits.carbons {
            self.send(
                line,
                "<iq type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>",
                What::Light,
            );
        }
        self.send(line, "<presence/>", What::Light);
        for sent in again {
            self.send(line, &sent.xml, sent.what);
        }
        Ok(())
    }

    fn send(&mut self, line: &mut Line, xml: &str, what: What) {
        line.queue(xml);
        if self.sm.is_some() {
            self.out.push_back(Sent {
                xml: xml.to_owned(),
                what,
            });
        }
    }

    fn ask(&mut self, line: &mut Line) {
        self.asked = true;
        line.queue(&format!("<r xmlns='{}'/>", ns::SM));
    }

    /// A few stanzas of all kinds.
    fn burst(&mut self, line: &mut Line, round: u32) {
        for _ in 0..self.random.between(1, 8) {
            self.number += 1;
            let number = self.number;
            let to = self.random.pick(&self.habits.to).clone();
            match self.random.below(10) {
                0 => {
                    let status = format!("<presence><status>{number}</status></presence>");
                    self.send(line, &status, What::Light);
                }
                1 => {
                    let state = format!(
                        "<message to='{to}@localhost' type='chat' id='c{number}'><composing xmlns='{}'/></message>",
                        ns::CHAT_STATES
                    );
                    self.send(line, &state, What::Light);
                }
                2 => {
                    let ping = format!(
                        "<iq type='get' id='p{number}' to='localhost'><ping xmlns='{}'/></iq>",
                        ns::PING
                    );
                    self.send(line, &ping, What::Light);
                }
                3 if self.habits.again != Again::Bare => {
                    self.roster += 1;
                    let set = format!(
                        "<iq type='set' id='r{}'><query xmlns='{}'><item jid='{}@far.example' name='{}'/></query></iq>",
                        self.roster,
                        ns::ROSTER,
                        self.habits.resource,
                        self.roster
                    );
                    self.send(line, &set, What::Roster(self.roster));
                }
                _ => self.message(line, &to, round),
            }
        }
        if self.random.once_in(4) && !self.asked {
            self.ask(line);
        }
    }

    fn message(&mut self, line: &mut Line, to: &str, round: u32) {
        let key = format!(
            "{}-{}:{}",
            self.habits.account, self.habits.resource, self.number
        );
        let filler = *self.random.pick(&["x", "在吗？", "<&> ", "yes "]);
        let body = format!("{key} {}", filler.repeat(self.random.below(120) as usize));
        let bare = self.habits.again == Again::Bare;
        let origin = match bare {
            true => String::new(),
            false => format!("<origin-id xmlns='{}' id='{key}'/>", ns::STANZA_ID),
        };
        let passing = self.lab.is_managed(to) && self.random.once_in(8);
        let hint = match passing {
            true => format!("<no-permanent-store xmlns='{}'/>", ns::HINTS),
            false => String::new(),
        };
        let xml = format!(
            "<message to='{to}@localhost' type='chat' id='{key}'><body>{}</body>{origin}{hint}</message>",
            liao_proto::xml::escape(&body)
        );
        let message = Message {
            device: self.index,
            number: self.number,
            from: self.habits.account.clone(),
            to: to.to_owned(),
            body,
            told: Told::Nothing,
            passing,
            bare,
            round,
        };
        self.lab
            .ledger
            .borrow_mut()
            .messages
            .insert(key.clone(), message);
        self.send(line, &xml, What::Message(key));
    }

    /// The server has counted `h` of our stanzas.
    fn counted(&mut self, h: u32, by: &'static str) {
        let Some(sm) = &mut self.sm else { return };
        let new = h.wrapping_sub(sm.counted as u32) as usize;
        if new > self.out.len() {
            let sent = sm.counted + self.out.len() as u64;
            let words = format!("{} sent {sent}, the server counts {h} ({by})", self.name());
            return self.fault(Fault::Lie(words));
        }
        for sent in self.out.drain(..new) {
            sm.counted += 1;
            match &sent.what {
                What::Message(key) => {
                    sm.counted_heavy = sm.counted;
                    if let Some(m) = self.lab.ledger.borrow_mut().messages.get_mut(key)
                        && m.told == Told::Nothing
                    {
                        m.told = Told::Counted(by);
                    }
                }
                What::Roster(version) => {
                    sm.counted_heavy = sm.counted;
                    self.lab
                        .roster(&self.habits.account, self.habits.resource, *version, false);
                }
                What::Light => {}
            }
            self.recent.push_back(sent);
        }
        while self.recent.len() > 5 {
            self.recent.pop_front();
        }
        self.asked = false;
        self.lab.count(|c| c.counted += new as u64);
    }

    fn element(&mut self, line: &mut Line, frame: &Frame) -> Result<(), Gone> {
        if frame.ns() == ns::SM {
            let h = frame.attr("h").and_then(|h| h.parse().ok());
            match (frame.name(), h, &self.sm) {
                ("r", _, Some(sm)) => {
                    line.queue(&format!("<a xmlns='{}' h='{}'/>", ns::SM, sm.incoming));
                }
                ("a", Some(h), _) => self.counted(h, "a"),
                _ => self.fault(Fault::Other(format!("{frame:?}"))),
            }
            return Ok(());
        }
        if let Some(sm) = &mut self.sm {
            sm.incoming = sm.incoming.wrapping_add(1);
        }
        match (frame.name(), frame.attr("type")) {
            ("message", _) => self.heard(frame),
            ("iq", Some("get" | "set")) => {
                let id = frame.attr("id").unwrap_or_default();
                let from = frame
                    .attr("from")
                    .map_or(String::new(), |f| format!(" to='{f}'"));
                self.send(
                    line,
                    &format!("<iq type='result' id='{id}'{from}/>"),
                    What::Light,
                );
            }
            ("iq", Some("error")) => self.refused(frame),
            _ => {}
        }
        Ok(())
    }

    /// An error came back. Where the disk is made to fail that is an answer like any other.
    fn refused(&mut self, frame: &Frame) {
        let id = frame.attr("id").unwrap_or_default().to_owned();
        let dom = frame.to_dom();
        let error = dom
            .as_ref()
            .and_then(|d| d.children().find(|c| c.name() == "error"));
        let condition = error
            .and_then(|e| e.children().next())
            .map_or("none", Element::name)
            .to_owned();
        self.lab.refused(&condition);
        if let Some(version) = id.strip_prefix('r').and_then(|v| v.parse().ok()) {
            self.lab
                .roster(&self.habits.account, self.habits.resource, version, true);
        }
        let mut ledger = self.lab.ledger.borrow_mut();
        match ledger.messages.get_mut(&id) {
            Some(m) if self.lab.may_refuse => {
                let early = matches!(m.told, Told::Counted(_));
                m.told = Told::Refused(condition);
                if early {
                    ledger.fault(Fault::Lie(format!(
                        "{id} was counted before it was refused"
                    )));
                }
            }
            _ if self.lab.may_refuse => {}
            _ => ledger.fault(Fault::Other(format!(
                "{} was refused {id}: {condition}",
                self.name()
            ))),
        }
    }

    fn heard(&mut self, frame: &Frame) {
        let Some(dom) = frame.to_dom() else { return };
        let inner = ["received", "sent"]
            .iter()
            .find_map(|n| dom.get_child(n, ns::CARBONS));
        let Some(carbon) = inner else {
            return match frame.attr("type") {
                Some("error") => self.refused(frame),
                _ => self.saw(&dom),
            };
        };
        let copy = carbon
            .get_child("forwarded", ns::FORWARD)
            .and_then(|f| f.children().find(|c| c.name() == "message"));
        match copy {
            // What another device of the account was refused.
            Some(copy) if copy.attr("type") == Some("error") => {}
            Some(copy) if carbon.name() == "received" => self.saw(copy),
            Some(copy) => {
                let key = format!("sent {}", copy.attr("id").unwrap_or_default());
                if copy.get_child("body", ns::CLIENT).is_some() && !self.here.insert(key.clone()) {
                    self.fault(Fault::Double(format!("{key} at {}", self.name())));
                }
            }
            None => self.fault(Fault::Other(format!("a carbon of nothing: {frame:?}"))),
        }
    }

    fn saw(&mut self, message: &Element) {
        let Some(body) = message.get_child("body", ns::CLIENT) else {
            return;
        };
        let key = message.attr("id").unwrap_or_default().to_owned();
        let own = format!("{}@localhost", self.habits.account);
        let ids: Vec<&Element> = message
            .children()
            .filter(|c| c.is("stanza-id", ns::STANZA_ID) && c.attr("by") == Some(&own))
            .collect();
        let passing = message.has_child("no-permanent-store", ns::HINTS);
        if ids.len() != usize::from(!passing) {
            self.fault(Fault::Other(format!(
                "{key} has {} stanza-ids of {own}",
                ids.len()
            )));
        }
        let id = ids.first().and_then(|i| i.attr("id")).map(str::to_owned);
        let delayed = message.has_child("delay", ns::DELAY);
        let here = !self.here.insert(key.clone());
        let mut ledger = self.lab.ledger.borrow_mut();
        if ledger
            .messages
            .get(&key)
            .is_some_and(|m| m.body != body.text())
        {
            ledger.fault(Fault::Other(format!("{key} has another body")));
        }
        ledger.saw(self.index, &self.habits.account, &key, id, delayed, here);
        drop(ledger);
        self.lab.moved();
    }
}

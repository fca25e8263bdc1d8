//! What was sent, what was acknowledged, who saw what; and what of it breaks the promises (the durability contract).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Acknowledged and not there.
    Lost(String),
    /// There, or seen, more than once.
    Double(String),
    /// Not in the order in which it was sent.
    Disorder(String),
    /// A count that cannot be true.
    Lie(String),
    /// The server is not as it should be.
    Other(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Lost(what) => write!(f, "LOST {what}"),
            Fault::Double(what) => write!(f, "TWICE {what}"),
            Fault::Disorder(what) => write!(f, "OUT OF ORDER {what}"),
            Fault::Lie(what) => write!(f, "A LIE {what}"),
            Fault::Other(what) => write!(f, "WRONG {what}"),
        }
    }
}

/// How a message's sender knows that it need not send it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Nothing,
    /// Counted, by this element.
    Counted(&'static str),
    /// Answered by an error, of this condition.
    Refused(String),
}

/// One message.
pub struct Message {
    pub device: usize,
    pub number: u64,
    pub from: String,
    pub to: String,
    pub body: String,
    pub told: Told,
    /// In no archive: kept until it is delivered.
    pub passing: bool,
    /// Its sender has no origin-id to make a second sending harmless.
    pub bare: bool,
    /// When: the how many-th server.
    pub round: u32,
}

/// One message as it lies in an archive.
#[derive(Debug, Clone)]
pub struct Row {
    pub key: String,
    pub incoming: bool,
    /// The archive's id of it, if the archive was asked by its owner (XEP-0313).
    pub id: Option<String>,
}

/// One message as a device saw it first.
struct Sight {
    key: String,
    delayed: bool,
}

#[derive(Default)]
struct Seen {
    /// Stanza-ids under which an account saw a message.
    ids: HashMap<String, BTreeSet<Option<String>>>,
}

#[derive(Default)]
pub struct Ledger {
    pub messages: BTreeMap<String, Message>,
    pub faults: BTreeSet<Fault>,
    /// By account.
    seen: HashMap<String, Seen>,
    /// By device: first sights in order.
    sights: HashMap<usize, Vec<Sight>>,
    known: HashSet<(usize, String)>,
    pub repeated: u64,
}

impl Ledger {
    pub fn fault(&mut self, fault: Fault) {
        self.faults.insert(fault);
    }

    /// A device saw a message. `here`: it saw it before in this very session.
    pub fn saw(
        &mut self,
        device: usize,
        account: &str,
        key: &str,
        id: Option<String>,
        delayed: bool,
        here: bool,
    ) {
        let who = format!("{key} at {account} (device {device})");
        match self.messages.get(key) {
            None => self.fault(Fault::Other(format!("{who} was never sent"))),
            Some(m) if m.to != account => {
                self.fault(Fault::Other(format!("{who} was for {}", m.to)))
            }
            Some(_) => {}
        }
        if here {
            self.fault(Fault::Double(format!("{who} in one session")));
        }
        let seen = self.seen.entry(account.to_owned()).or_default();
        seen.ids.entry(key.to_owned()).or_default().insert(id);
        if !self.known.insert((device, key.to_owned())) {
            self.repeated += 1;
            if !delayed {
                self.fault(Fault::Double(format!("{who}, and again without <delay/>")));
            }
            return;
        }
        let sight = Sight {
            key: key.to_owned(),
            delayed,
        };
        self.sights.entry(device).or_default().push(sight);
    }

    /// Messages of which the sender knows that the server has them, and their recipient has not seen them.
    pub fn unseen(&self, account: &str) -> usize {
        let seen = self.seen.get(account);
        let missing = |(key, m): &(&String, &Message)| {
            m.to == account
                && matches!(m.told, Told::Counted(_))
                && !seen.is_some_and(|s| s.ids.contains_key(*key))
        };
        self.messages.iter().filter(missing).count()
    }

    /// Each account's messages, seen by at least one of its devices, under one id.
    pub fn check_seen(&mut self, account: &str) {
        let seen = self.seen.remove(account).unwrap_or_default();
        let mut faults = Vec::new();
        for (key, m) in self.messages.iter().filter(|(_, m)| m.to == account) {
            let ids = seen.ids.get(key);
            if matches!(m.told, Told::Counted(_)) && ids.is_none() {
                faults.push(Fault::Lost(format!(
                    "{}: {account} never saw it",
                    m.words(key)
                )));
            }
            if matches!(m.told, Told::Refused(_)) && ids.is_some() {
                faults.push(Fault::Lie(format!("{}: {account} saw it", m.words(key))));
            }
            if let Some(ids) = ids.filter(|ids| ids.len() > 1) {
                faults.push(Fault::Double(format!(
                    "{key} at {account} under the ids {ids:?}"
                )));
            }
        }
        self.faults.extend(faults);
        self.seen.insert(account.to_owned(), seen);
    }

    /// Each sender's messages came to this device in the order in which they were sent. `alone`: the account has no
    /// other device, so what comes late comes in order, too.
    pub fn check_order(&mut self, device: usize, alone: bool) {
        let mut last: HashMap<usize, u64> = HashMap::new();
        let mut faults = Vec::new();
        for sight in self.sights.get(&device).into_iter().flatten() {
            let Some(m) = self.messages.get(&sight.key) else {
                continue;
            };
            if sight.delayed && !alone {
                continue;
            }
            if let Some(before) = last.insert(m.device, m.number)
                && before > m.number
            {
                let key = &sight.key;
                faults.push(Fault::Disorder(format!(
                    "{key} at device {device}, after {before}"
                )));
            }
        }
        self.faults.extend(faults);
    }

    /// An account's archive has each of its messages once, in order, under the id under which it was seen.
    pub fn check_archive(&mut self, account: &str, rows: &[Row]) {
        let mut faults = Vec::new();
        let mut count: HashMap<(&str, bool), u32> = HashMap::new();
        let mut last: HashMap<(usize, &str), u64> = HashMap::new();
        for row in rows {
            let key = row.key.as_str();
            let Some(m) = self.messages.get(key) else {
                faults.push(Fault::Other(format!(
                    "{key} in the archive of {account}, never sent"
                )));
                continue;
            };
            *count.entry((key, row.incoming)).or_default() += 1;
            if let Some(before) = last.insert((m.device, m.to.as_str()), m.number)
                && before > m.number
            {
                faults.push(Fault::Disorder(format!(
                    "{key} in the archive of {account}, after {before}"
                )));
            }
            let seen = self.seen.get(account).and_then(|s| s.ids.get(key));
            if let (Some(id), Some(seen)) = (&row.id, seen.filter(|_| row.incoming))
                && !seen.contains(&Some(id.clone()))
            {
                faults.push(Fault::Other(format!(
                    "{key} has the id {id} in the archive of {account}, seen as {seen:?}"
                )));
            }
        }
        for (key, m) in &self.messages {
            for (owner, incoming) in [(&m.from, false), (&m.to, true)] {
                if owner != account {
                    continue;
                }
                let n = count.get(&(key.as_str(), incoming)).copied().unwrap_or(0);
                let wanted = u32::from(matches!(m.told, Told::Counted(_)) && !m.passing);
                let words = format!("{}, {n} times in the archive of {account}", m.words(key));
                match n.cmp(&wanted) {
                    std::cmp::Ordering::Less => faults.push(Fault::Lost(words)),
                    std::cmp::Ordering::Greater if n > 1 => faults.push(Fault::Double(words)),
                    std::cmp::Ordering::Greater if m.told == Told::Nothing => {}
                    std::cmp::Ordering::Greater => faults.push(Fault::Lie(words)),
                    std::cmp::Ordering::Equal => {}
                }
            }
        }
        self.faults.extend(faults);
    }

    /// The faults, for a person.
    pub fn report(&self) -> String {
        let lines: Vec<String> = self
            .faults
            .iter()
            .take(40)
            .map(ToString::to_string)
            .collect();
        format!("{} faults\n{}", self.faults.len(), lines.join("\n"))
    }
}

impl Message {
    fn words(&self, key: &str) -> String {
        let kind = if self.bare { " without origin-id" } else { "" };
        format!(
            "{key}{kind} to {} (round {}, {:?})",
            self.to, self.round, self.told
        )
    }
}

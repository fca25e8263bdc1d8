//! Which stretches of an archive to ask for after a connection that is not the old one resumed, until nothing is
//! missing (XEP-0313 section 4.3): pure bookkeeping.

use crate::features::archive::{Fin, Range};
use crate::store::Mark;

/// Clocks of a server and ours may differ by so much, in milliseconds, where only the time is left to go by.
const CLOCKS_MS: i64 = 300_000;

/// Questions to one archive, one after the other.
#[derive(Debug)]
pub struct CatchUp {
    range: Range,
    mark: Option<Mark>,
    /// Ids that came by themselves meanwhile and were on no page yet, oldest first.
    heard: Vec<String>,
    /// The last id of the pages so far.
    last: Option<(String, i64)>,
    /// Something was told that may change: all is to be asked for again next time.
    unstable: bool,
}

/// What to do after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ask for the next stretch.
    Ask,
    /// All is here.
    Done {
        /// The archive's id and time up to which it is; `None`: as it was before.
        up_to: Option<(String, i64)>,
        /// What came by itself meanwhile and was on no page came after the last page: the newest of it.
        heard: Option<String>,
    },
}

impl CatchUp {
    /// From the end of what is here; else the newest page.
    pub fn new(mark: Option<Mark>) -> CatchUp {
        CatchUp {
            range: match &mark {
                // It was empty.
                Some(mark) if mark.id.is_empty() => Range::First,
                Some(mark) => Range::After(mark.id.clone()),
                None => Range::Newest,
            },
            mark,
            heard: Vec::new(),
            last: None,
            unstable: false,
        }
    }

    /// What to ask for now.
    pub fn range(&self) -> &Range {
        &self.range
    }

    /// Whether nothing of this archive was here before.
    pub fn is_first(&self) -> bool {
        self.mark.is_none()
    }

    /// Whether the archive may have other ids than it had.
    pub fn is_loose(&self) -> bool {
        matches!(self.range, Range::Since(_))
            || (self.range == Range::Newest && self.mark.is_some())
    }

    /// A message with this id came by itself.
    pub fn heard(&mut self, id: &str) {
        self.heard.push(id.to_owned());
    }

    /// The archive does not know the id that it was asked about: by time, then the newest page (section 4.3.2);
    /// `false`: nothing is left to ask.
    pub fn unknown_id(&mut self) -> bool {
        self.range = match (&self.range, &self.mark) {
            (Range::After(_), Some(mark)) if self.last.is_none() && mark.time_ms > 0 => {
                Range::Since(mark.time_ms.saturating_sub(CLOCKS_MS))
            }
            (Range::After(_) | Range::Since(_), _) => Range::Newest,
            _ => return false,
        };
        true
    }

    /// Whether what stands before the page that comes is unknown.
    pub fn leaves_a_hole(&self, fin: &Fin) -> bool {
        self.range == Range::Newest && !fin.complete && fin.first.is_some()
    }

    /// The mark after this page, if all before it is here with it.
    pub fn page_end(&self, fin: &Fin) -> Option<String> {
        let stable = !fin.unstable && !self.unstable;
        fin.last.clone().filter(|_| stable)
    }

    /// A page came, with these ids and the time of its last.
    pub fn page(&mut self, fin: &Fin, ids: &[String], last_ms: i64) -> Next {
        self.heard.retain(|h| !ids.contains(h));
        self.unstable |= fin.unstable;
        let moved = match &fin.last {
            Some(last) => self.last.as_ref().is_none_or(|(before, _)| before != last),
            None => false,
        };
        if let Some(last) = &fin.last {
            self.last = Some((last.clone(), last_ms));
        }
        // A page of the end is the last one; one without anything new would be given for ever.
        if !fin.complete && moved && self.range != Range::Newest {
            if let Some((last, _)) = &self.last {
                self.range = Range::After(last.clone());
            }
            return Next::Ask;
        }
        if self.unstable {
            let (up_to, heard) = (None, None);
            return Next::Done { up_to, heard };
        }
        let empty = fin.complete && self.is_first();
        let beginning = empty.then(|| (String::new(), 0));
        Next::Done {
            up_to: self.last.take().or(beginning),
            heard: self.heard.pop(),
        }
    }

    /// Whether what was told may be relied on.
    pub fn is_stable(&self) -> bool {
        !self.unstable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Message;
    use crate::store::{ArchivePage, Arriving, Before, Store};

    const ME: &str = "me@x";
    const PEERS: [&str; 2] = ["b@y", "c@y"];

    /// Numbers that look random and can be repeated.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % sides
        }
    }

    /// A message as the server has it.
    #[derive(Clone)]
    struct Entry {
        peer: usize,
        ours: bool,
        number: usize,
        /// The archive's time of it.
        time_ms: i64,
    }

    impl Entry {
        fn id(&self) -> String {
            format!("id-{}", self.number)
        }

        fn arriving(&self, live: bool) -> Arriving {
            Arriving {
                message: Message {
                    peer: PEERS[self.peer].into(),
                    outgoing: self.ours,
                    id: format!("m{}", self.number),
                    text: format!("{}", self.number),
                    time_ms: self.time_ms,
                    delayed: false,
                    ..Message::default()
                },
                archive_id: Some(self.id()),
                origin: Some(format!("m{}", self.number)),
                markable: false,
                live,
            }
        }
    }

    /// A question under way: the server has answered it, the answer is not here yet.
    struct Catching {
        up: CatchUp,
        after: Result<i64, i64>,
        answer: Option<(Fin, Vec<Entry>)>,
    }

    /// A server with one account, and a device of it that loses its connection again and again.
    struct World {
        dice: Dice,
        store: Store,
        /// In the order of the archive; what is before `from` was thrown away.
        archive: Vec<Entry>,
        from: usize,
        numbers: usize,
        /// Of the connection, if there is one.
        catching: Option<Catching>,
        online: bool,
        whole: bool,
        said: i64,
        /// What the server has kept for us and hands out on this connection before anything else.
        kept: Vec<Entry>,
    }

    impl World {
        fn new(seed: u64) -> World {
            World {
                dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
                store: Store::memory(),
                archive: Vec::new(),
                from: 0,
                numbers: 0,
                catching: None,
                online: false,
                whole: false,
                said: 0,
                kept: Vec::new(),
            }
        }

        /// One of the messages that the server has kept comes.
        fn kept_for_us(&mut self) {
            if let Some(entry) = self.kept.pop() {
                let mut new = entry.arriving(true);
                new.message.delayed = true;
                self.store.arrive(ME, &new, None).unwrap();
            }
        }

        fn live(&mut self, entry: &Entry) {
            while !self.kept.is_empty() {
                self.kept_for_us();
            }
            if let Some(catching) = &mut self.catching {
                catching.up.heard(&entry.id());
            }
            let whole = self.whole.then_some(ME);
            self.store
                .arrive(ME, &entry.arriving(!entry.ours), whole)
                .unwrap();
        }

        /// Somebody says something; on a connection that is dying nothing of it gets here.
        fn speak(&mut self) {
            self.numbers += 1;
            let entry = Entry {
                peer: self.dice.roll(2) as usize,
                ours: self.dice.roll(3) == 0,
                number: self.numbers,
                time_ms: self.archive.len() as i64 + 1,
            };
            self.archive.push(entry.clone());
            if self.online {
                if self.dice.roll(12) == 0 {
                    self.cut();
                } else {
                    self.live(&entry);
                }
            }
        }

        /// This device says something: it is in the outbox, then on the server, behind what was said meanwhile, and the
        /// answer may be lost.
        fn say(&mut self) {
            self.numbers += 1;
            let mut entry = Entry {
                peer: self.dice.roll(2) as usize,
                ours: true,
                number: self.numbers,
                time_ms: 0,
            };
            let message = entry.arriving(true).message;
            self.store.queue(ME, &message).unwrap();
            for _ in 0..self.dice.roll(3) {
                self.speak();
            }
            if !self.online {
                return;
            }
            entry.time_ms = self.archive.len() as i64 + 1;
            self.archive.push(entry);
            if self.dice.roll(8) == 0 {
                self.cut();
            } else {
                let sent = crate::State::Sent;
                self.store.advance(ME, None, &message.id, &sent).unwrap();
            }
        }

        fn cut(&mut self) {
            (self.online, self.whole, self.catching) = (false, false, None);
            self.kept.clear();
        }

        fn connect(&mut self) {
            self.cut();
            self.online = true;
            let newest = self.archive[self.from..].iter().rev().filter(|e| !e.ours);
            self.kept = newest.take(self.dice.roll(9) as usize).cloned().collect();
            let mark = self.store.mark(ME, ME).unwrap();
            self.said = self.store.make_a_hole(ME).unwrap();
            let after = mark.as_ref().map(|m| m.n).ok_or(self.said);
            self.ask(CatchUp::new(mark), after);
        }

        /// The server's answer to a question, of at most `most` messages.
        fn answer(
            &self,
            range: &Range,
            with: Option<usize>,
            most: usize,
        ) -> Option<(Fin, Vec<Entry>)> {
            let kept = &self.archive[self.from..];
            let at = |id: &str| kept.iter().position(|e| e.id() == id);
            let stretch = match range {
                Range::After(id) => &kept[at(id)? + 1..],
                Range::Before(id) => &kept[..at(id)?],
                Range::Since(ms) => &kept[kept.iter().take_while(|e| e.time_ms < *ms).count()..],
                Range::First | Range::Newest => kept,
                Range::Until(ms) => {
                    let later = kept.iter().rev().take_while(|e| e.time_ms > *ms);
                    &kept[..kept.len() - later.count()]
                }
            };
            let fits = |e: &&Entry| with.is_none_or(|peer| e.peer == peer);
            let all: Vec<Entry> = stretch.iter().filter(fits).cloned().collect();
            let complete = all.len() <= most;
            let page = match range {
                Range::First | Range::After(_) | Range::Since(_) => &all[..most.min(all.len())],
                _ => &all[all.len().saturating_sub(most)..],
            };
            let fin = Fin {
                first: page.first().map(Entry::id),
                last: page.last().map(Entry::id),
                complete,
                unstable: false,
            };
            Some((fin, page.to_vec()))
        }

        fn ask(&mut self, up: CatchUp, after: Result<i64, i64>) {
            let most = 1 + self.dice.roll(5) as usize;
            let answer = self.answer(up.range(), None, most);
            self.catching = Some(Catching { up, after, answer });
        }

        /// The page that was asked for comes.
        fn page(&mut self) {
            let Some(Catching {
                mut up,
                after,
                answer,
            }) = self.catching.take()
            else {
                return;
            };
            let Some((fin, found)) = answer else {
                assert!(up.unknown_id());
                self.said = self.store.make_a_hole(ME).unwrap();
                return self.ask(up, Ok(self.said));
            };
            let items: Vec<Arriving> = found.iter().map(|e| e.arriving(false)).collect();
            let ms = |e: Option<&Entry>| e.map_or(0, |e| e.time_ms);
            let end = up.page_end(&fin);
            let page = ArchivePage {
                items: &items,
                after,
                loose: up.is_loose(),
                end: end.as_deref().map(|id| (id, ms(found.last()))),
                hole: fin
                    .first
                    .as_deref()
                    .filter(|_| up.leaves_a_hole(&fin))
                    .map(|id| (id, ms(found.first()))),
            };
            let kept = self.store.archived(ME, ME, &page).unwrap();
            let ids: Vec<String> = found.iter().map(Entry::id).collect();
            match up.page(&fin, &ids, ms(found.last())) {
                Next::Ask => self.ask(up, Ok(kept.last_n)),
                Next::Done { up_to, heard } => {
                    self.whole = up.is_stable();
                    if let Some((id, time)) = up_to {
                        self.store
                            .caught_up(ME, ME, (&id, time), self.said)
                            .unwrap();
                    }
                    if let Some(id) = heard {
                        self.store.follow(ME, ME, &id).unwrap();
                    }
                }
            }
        }

        /// All that is here of a conversation, back to a hole.
        fn read(&self, peer: usize) -> (Vec<usize>, Before) {
            let (mut all, mut before) = (Vec::new(), None);
            loop {
                let (page, end) = self.store.history(ME, ME, PEERS[peer], before, 7).unwrap();
                before = page.first().map(|k| k.n).or(before);
                let mut numbers: Vec<usize> = page
                    .iter()
                    .filter(|k| k.state != crate::State::Queued)
                    .map(|k| k.message.text.parse().unwrap())
                    .collect();
                numbers.append(&mut all);
                all = numbers;
                if end != Before::Messages {
                    return (all, end);
                }
            }
        }

        /// Fills the holes of a conversation from the archive.
        fn fill(&mut self, peer: usize) {
            while let (_, Before::Gap(gap)) = self.read(peer) {
                let most = 1 + self.dice.roll(5) as usize;
                let asked = self.answer(&Range::Before(gap.before_id.clone()), Some(peer), most);
                let (fin, found) = match asked {
                    Some(answer) => answer,
                    None => self
                        .answer(&Range::Until(gap.before_ms), Some(peer), most)
                        .unwrap(),
                };
                let items: Vec<Arriving> = found.iter().map(|e| e.arriving(false)).collect();
                let first = fin.first.as_deref().zip(found.first());
                let first = first.map(|(id, e)| (id, e.time_ms));
                let begins = fin.complete || first.is_none();
                self.store
                    .older(ME, &gap, PEERS[peer], &items, first, begins)
                    .unwrap();
            }
        }

        /// What the archive has of a conversation, in its order.
        fn truth(&self, peer: usize) -> Vec<usize> {
            let theirs = self.archive[self.from..].iter().filter(|e| e.peer == peer);
            theirs.map(|e| e.number).collect()
        }

        fn check(&mut self, seed: u64) {
            self.connect();
            while self.catching.is_some() {
                self.page();
            }
            for peer in 0..2 {
                let (here, end) = self.read(peer);
                let truth = self.truth(peer);
                // What the archive threw away may still be here; it tells nothing about its order any more.
                let there = |all: Vec<usize>| -> Vec<usize> {
                    all.into_iter().filter(|n| truth.contains(n)).collect()
                };
                let here = there(here);
                assert!(
                    truth.ends_with(&here),
                    "seed {seed}: {here:?} is not the end of {truth:?}"
                );
                assert!(
                    here == truth || end != Before::Nothing,
                    "seed {seed}: a hole is shown as complete"
                );
                self.fill(peer);
                let (all, end) = self.read(peer);
                assert_eq!(end, Before::Nothing);
                assert_eq!(there(all.clone()), truth, "seed {seed}");
                let mut once = all.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), all.len(), "seed {seed}: twice");
            }
        }
    }

    #[test]
    fn whatever_is_lost_doubled_or_late_no_hole_is_ever_shown_as_complete() {
        for seed in 1..=200 {
            let mut world = World::new(seed);
            // Something is in the archive before this device exists.
            for _ in 0..world.dice.roll(20) {
                world.speak();
            }
            for _ in 0..world.dice.roll(120) {
                match world.dice.roll(20) {
                    0..=7 => world.speak(),
                    8..=10 => world.say(),
                    11 => world.cut(),
                    12 | 13 if !world.online => world.connect(),
                    14 => world.kept_for_us(),
                    15 if world.dice.roll(6) == 0 => {
                        world.from += world
                            .dice
                            .roll((world.archive.len() - world.from + 1) as u64)
                            as usize;
                    }
                    _ => world.page(),
                }
            }
            world.check(seed);
        }
    }
}

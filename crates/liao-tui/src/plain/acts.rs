//! What the plain form does beside saying something: to the last messages of the one who is talked to.

use super::View;
use crate::commands::Act;
use liao_client::Command;

impl View {
    pub(super) fn act(&mut self, act: Act) {
        if let Act::Block(name, block) = act {
            return self.with(&name, |peer| match block {
                true => Command::Block { peer },
                false => Command::Unblock { peer },
            });
        }
        let Some(to) = self.current.clone() else {
            return self.wrong(self.words.to_whom);
        };
        let last = |ours: bool| self.latest.get(&(to.clone(), ours)).cloned();
        let (mine, theirs) = (last(true), last(false));
        let command = match (act, mine, theirs) {
            (Act::Nudge, ..) => Command::Nudge { to },
            (Act::Edit(text), Some(of), _) => Command::Edit { to, of, text },
            (Act::Recall, Some(of), _) => Command::Recall { to, of },
            (Act::Reply(text), _, Some(of)) => return self.say_to(to, text, Some(of)),
            (Act::React(emoji), _, Some(of)) => Command::React {
                to,
                outgoing: false,
                of,
                emojis: emoji.into_iter().collect(),
            },
            _ => return self.wrong(self.words.nothing_to_change),
        };
        self.commands.push_back(command);
    }
}

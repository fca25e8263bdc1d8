//! Offline messages: kept in the archive, handed out when a resource becomes reachable (XEP-0160 section 3).

use crate::engines::offline as engine;
use crate::hooks::{Cx, Module, SessionChange, Spec};
use liao_proto::ns;

pub struct Offline;

static SPEC: Spec = Spec {
    name: "offline",
    xeps: &["0160", "0203"],
    features: &[ns::MSGOFFLINE],
    needs: &[engine::COLLECTION],
    doc: "Keeps messages for those who are away.",
    ..Spec::EMPTY
};

impl Module for Offline {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_session(&self, cx: &mut Cx<'_>, change: SessionChange) {
        match change {
            SessionChange::Reachable(id) => {
                let offline = &mut cx.entity.offline;
                if !offline.is_caught_up() || offline.upto(id).is_some() {
                    offline.catch_up(id);
                }
            }
            SessionChange::Ending(id) => {
                if !cx.entity.offline.withdraw(id) {
                    return;
                }
                // What only this session was given waits again; who else is there gets it now.
                let others: Vec<u64> = cx
                    .entity
                    .sessions
                    .iter()
                    .filter(|s| s.id != id && s.is_reachable())
                    .map(|s| s.id)
                    .collect();
                for other in others {
                    cx.entity.offline.catch_up(other);
                }
            }
            _ => {}
        }
    }
}

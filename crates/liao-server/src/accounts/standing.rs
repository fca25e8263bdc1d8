//! What an account may: administer, or not even log in (XEP-0133 sections 4.3, 4.4 and 4.29).

use super::{ACCOUNT, AccountError, Accounts, Row};
use crate::store::Op;
use liao_proto::jid::BareJid;
use std::collections::BTreeSet;
use std::sync::PoisonError;

/// The collection of disabled accounts: a row with the key `""`.
pub const DISABLED: &str = "disabled";

impl Accounts {
    pub(super) async fn read_admins(&self) -> Result<(), AccountError> {
        for (jid, _, value) in self.store.list(ACCOUNT).await? {
            let admin = serde_json::from_slice::<Row>(&value).is_ok_and(|r| r.admin);
            if let Ok(jid) = BareJid::new(&jid) {
                self.note_admin(&jid, admin);
            }
        }
        Ok(())
    }

    pub(super) fn note_admin(&self, jid: &BareJid, admin: bool) {
        let mut all = self.admins.write().unwrap_or_else(PoisonError::into_inner);
        if admin {
            all.insert(jid.clone());
        } else {
            all.remove(jid);
        }
    }

    /// Who may administer.
    pub fn admins(&self) -> BTreeSet<BareJid> {
        self.admins
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether somebody may administer.
    pub fn is_admin(&self, bare: &BareJid) -> bool {
        self.admins
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(bare)
    }

    /// Makes these the administrators, and nobody else. All of them have accounts, and there is at least one.
    pub async fn set_admins(&self, wanted: &BTreeSet<BareJid>) -> Result<(), AccountError> {
        let _order = self.order.lock().await;
        if wanted.is_empty() {
            return Err(AccountError::LastAdmin);
        }
        let before = self.admins();
        let mut ops = Vec::new();
        let mut changed = Vec::new();
        for jid in wanted.symmetric_difference(&before) {
            let admin = wanted.contains(jid);
            let Some(row) = self.row(jid).await? else {
                return Err(AccountError::Unknown {
                    name: jid.to_string(),
                });
            };
            ops.push(self.put(jid, &Row { admin, ..row }));
            changed.push((jid, admin));
        }
        if ops.is_empty() {
            return Ok(());
        }
        self.store.committed(ops).await?;
        changed.iter().for_each(|(j, a)| self.note_admin(j, *a));
        Ok(())
    }

    /// Makes one an administrator, or takes it away.
    pub async fn set_admin(&self, name: &str, admin: bool) -> Result<BareJid, AccountError> {
        let jid = self.known(name).await?;
        let mut all = self.admins();
        if admin {
            all.insert(jid.clone());
        } else {
            all.remove(&jid);
        }
        self.set_admins(&all).await?;
        Ok(jid)
    }

    /// The address of an account that is there, by its name or its address.
    pub async fn known(&self, name: &str) -> Result<BareJid, AccountError> {
        let jid = self.jid(name)?;
        match self.row(&jid).await? {
            Some(_) => Ok(jid),
            None => Err(AccountError::Unknown {
                name: name.to_owned(),
            }),
        }
    }

    /// Whether somebody may not log in.
    pub async fn is_disabled(&self, bare: &BareJid) -> Result<bool, AccountError> {
        Ok(self.store.get(DISABLED, bare.as_str(), "").await?.is_some())
    }

    /// Addresses of those who may not log in.
    pub async fn disabled(&self) -> Result<BTreeSet<String>, AccountError> {
        let rows = self.store.list(DISABLED).await?;
        Ok(rows.into_iter().map(|(jid, ..)| jid).collect())
    }

    /// Forbids an account to log in, or lets it again. The server must end its sessions.
    pub async fn set_disabled(&self, name: &str, disabled: bool) -> Result<BareJid, AccountError> {
        let _order = self.order.lock().await;
        let jid = self.known(name).await?;
        let (collection, owner, key) = (DISABLED, jid.to_string(), String::new());
        let op = if disabled {
            let value = Vec::new();
            Op::Put {
                collection,
                owner,
                key,
                value,
            }
        } else {
            Op::Delete {
                collection,
                owner,
                key,
            }
        };
        self.store.committed(vec![op]).await?;
        Ok(jid)
    }
}

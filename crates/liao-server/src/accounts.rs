//! Accounts and invites over the store. Passwords are kept only as SCRAM keys (RFC 5802 section 3).

mod reports;
mod seen;
mod standing;

pub use reports::{REPORT, REPORTED, Report, ReportInfo};
pub use seen::{SEEN, Seen};
pub use standing::DISABLED;

use crate::rules::Rules;
use crate::server::{now_ms, random_id};
use crate::store::{self, CommitError, Op, Store, StoreError};
use liao_proto::jid::BareJid;
use liao_proto::sasl::{Credentials, PasswordError};
use liao_proto::xep::delay::utc_from_ms;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// How long an invite is good.
pub const INVITE_TTL: Duration = Duration::from_secs(24 * 3600);
const ACCOUNT: &str = "account";
const INVITE: &str = "invite";
const SERVER: &str = "server";

/// Why something was not done, in words for people.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name is taken.
    #[error("the name {name:?} is taken")]
    Conflict {
        /// Which.
        name: String,
    },
    /// Nobody of this name.
    #[error("there is no account {name:?}")]
    Unknown {
        /// Which.
        name: String,
    },
    /// Not a name.
    #[error(
        "{name:?} cannot be a name: letters, digits and . - _ are fine; spaces and \" & ' / : < > @ are not"
    )]
    Name {
        /// Which.
        name: String,
    },
    /// Not a password.
    #[error("{0}")]
    Password(#[from] PasswordError),
    /// The invite cannot be used.
    #[error("this invite is used up, expired or unknown; ask for a new one")]
    Invite,
    /// There would be nobody left.
    #[error("one administrator must remain")]
    LastAdmin,
    /// Another domain than that of the accounts.
    #[error(
        "the accounts in this data folder belong to {has}, not to {wants}; start with --domain {has}, or take another --data"
    )]
    Domain {
        /// The first account's.
        has: String,
        /// The one asked for.
        wants: String,
    },
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The store's writer.
    #[error("{0}; nothing was changed")]
    Commit(#[from] CommitError),
}

#[derive(Serialize, Deserialize)]
struct Row {
    keys: String,
    admin: bool,
    created_ms: i64,
}

/// What lists say of an account.
#[derive(Debug, Clone, Serialize)]
pub struct AccountInfo {
    /// The address.
    pub jid: String,
    /// May administer.
    pub admin: bool,
    /// When it was made, UTC.
    pub created: String,
    /// May not log in.
    pub disabled: bool,
}

/// An invite for one account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invite {
    /// 128 random bits as text.
    pub token: String,
    /// Who invites: friends at once.
    pub from: Option<BareJid>,
    /// The account will be an admin.
    pub admin: bool,
    /// Good until then, ms since 1970, UTC.
    pub expires_ms: i64,
}

impl Invite {
    /// Good until then (XEP-0082).
    pub fn expires_text(&self) -> String {
        utc_from_ms(self.expires_ms)
    }
}

/// The accounts of one domain.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
    domain: String,
    /// Names and invites are taken one after the other.
    order: Arc<tokio::sync::Mutex<()>>,
    /// Who may administer.
    admins: Arc<RwLock<BTreeSet<BareJid>>>,
    /// What the administrators decided for everyone.
    pub rules: Arc<Rules>,
}

impl Accounts {
    /// Over a store. Fails if the store's accounts belong to another domain.
    pub async fn open(store: Store, domain: &str) -> Result<Accounts, AccountError> {
        if let Some(has) = store.get(SERVER, "", "domain").await? {
            let has = String::from_utf8_lossy(&has).into_owned();
            if has != domain {
                return Err(AccountError::Domain {
                    has,
                    wants: domain.to_owned(),
                });
            }
        }
        let rules = Rules::open(store.clone()).await?;
        let accounts = Accounts {
            store,
            domain: domain.to_owned(),
            order: Arc::default(),
            admins: Arc::default(),
            rules: Arc::new(rules),
        };
        accounts.read_admins().await?;
        Ok(accounts)
    }

    /// The domain of the accounts in a store, if there are any.
    pub async fn domain_of(store: &Store) -> Result<Option<String>, AccountError> {
        Ok(store
            .get(SERVER, "", "domain")
            .await?
            .map(|d| String::from_utf8_lossy(&d).into_owned()))
    }

    /// The domain of the accounts in a data folder, read beside the server that may run on it.
    pub fn domain_in(data: &Path) -> Result<Option<String>, StoreError> {
        let found = store::peek(data, SERVER, "", "domain")?;
        Ok(found.map(|d| String::from_utf8_lossy(&d).into_owned()))
    }

    /// Whether a data folder has this account, read beside the server that may run on it.
    pub fn is_in(data: &Path, jid: &str) -> Result<bool, StoreError> {
        Ok(store::peek(data, ACCOUNT, jid, "")?.is_some())
    }

    fn jid(&self, name: &str) -> Result<BareJid, AccountError> {
        let wrong = || AccountError::Name {
            name: name.to_owned(),
        };
        let name = name
            .strip_suffix(&format!("@{}", self.domain))
            .unwrap_or(name);
        if name.is_empty() || name.contains(['@', '/']) {
            return Err(wrong());
        }
        BareJid::new(&format!("{name}@{}", self.domain)).map_err(|_| wrong())
    }

    async fn row(&self, jid: &BareJid) -> Result<Option<Row>, AccountError> {
        let found = self.store.get(ACCOUNT, jid.as_str(), "").await?;
        Ok(found.and_then(|v| serde_json::from_slice(&v).ok()))
    }

    fn put(&self, jid: &BareJid, row: &Row) -> Op {
        let value = serde_json::to_vec(row).unwrap_or_default();
        Op::Put {
            collection: ACCOUNT,
            owner: jid.to_string(),
            key: String::new(),
            value,
        }
    }

    /// Whether there is an account of this name.
    pub async fn exists(&self, name: &str) -> Result<bool, AccountError> {
        Ok(self.row(&self.jid(name)?).await?.is_some())
    }

    /// The SCRAM keys of a bare address.
    pub async fn credentials(&self, bare: &BareJid) -> Result<Option<Credentials>, AccountError> {
        Ok(self
            .row(bare)
            .await?
            .and_then(|r| Credentials::from_text(&r.keys)))
    }

    /// Makes an account.
    pub async fn create(
        &self,
        name: &str,
        password: &str,
        admin: bool,
    ) -> Result<BareJid, AccountError> {
        let _order = self.order.lock().await;
        self.make(name, password, admin, Vec::new()).await
    }

    async fn make(
        &self,
        name: &str,
        password: &str,
        admin: bool,
        mut ops: Vec<Op>,
    ) -> Result<BareJid, AccountError> {
        let jid = self.jid(name)?;
        if self.row(&jid).await?.is_some() {
            return Err(AccountError::Conflict {
                name: jid.to_string(),
            });
        }
        let keys = derive(password).await?;
        ops.push(self.put(
            &jid,
            &Row {
                keys,
                admin,
                created_ms: now_ms(),
            },
        ));
        let domain = self.domain.clone().into_bytes();
        ops.push(Op::Put {
            collection: SERVER,
            owner: String::new(),
            key: "domain".into(),
            value: domain,
        });
        self.store.committed(ops).await?;
        self.note_admin(&jid, admin);
        Ok(jid)
    }

    /// Erases an account and all it owns.
    pub async fn delete(&self, name: &str) -> Result<BareJid, AccountError> {
        let _order = self.order.lock().await;
        let jid = self.jid(name)?;
        if self.row(&jid).await?.is_none() {
            return Err(AccountError::Unknown {
                name: name.to_owned(),
            });
        }
        self.store
            .committed(vec![Op::DeleteOwner {
                owner: jid.to_string(),
            }])
            .await?;
        self.note_admin(&jid, false);
        Ok(jid)
    }

    /// How much of an account's archive is kept; `None`: as the configuration says.
    pub async fn keep(
        &self,
        jid: &BareJid,
        rule: Option<crate::retention::Rule>,
    ) -> Result<(), AccountError> {
        Ok(crate::retention::set(&self.store, jid, rule).await?)
    }

    /// Sets a password.
    pub async fn set_password(&self, name: &str, password: &str) -> Result<(), AccountError> {
        let _order = self.order.lock().await;
        let jid = self.jid(name)?;
        let Some(row) = self.row(&jid).await? else {
            return Err(AccountError::Unknown {
                name: name.to_owned(),
            });
        };
        let keys = derive(password).await?;
        self.store
            .committed(vec![self.put(&jid, &Row { keys, ..row })])
            .await?;
        Ok(())
    }

    /// All accounts by name.
    pub async fn list(&self) -> Result<Vec<AccountInfo>, AccountError> {
        let rows = self.store.list(ACCOUNT).await?;
        let disabled = self.disabled().await?;
        let info = |(jid, _, value): (String, String, Vec<u8>)| {
            let row: Row = serde_json::from_slice(&value).ok()?;
            Some((
                row.created_ms,
                AccountInfo {
                    disabled: disabled.contains(&jid),
                    jid,
                    admin: row.admin,
                    created: utc_from_ms(row.created_ms),
                },
            ))
        };
        Ok(rows.into_iter().filter_map(info).map(|(_, i)| i).collect())
    }

    /// The admin who has been here longest.
    pub async fn first_admin(&self) -> Result<Option<BareJid>, AccountError> {
        let all = self.list().await?;
        let first = all
            .into_iter()
            .filter(|a| a.admin)
            .min_by(|a, b| a.created.cmp(&b.created));
        Ok(first.and_then(|a| BareJid::new(&a.jid).ok()))
    }

    /// Makes an invite; those that have expired are swept.
    pub async fn create_invite(
        &self,
        from: Option<BareJid>,
        admin: bool,
        ttl: Duration,
    ) -> Result<Invite, AccountError> {
        let _order = self.order.lock().await;
        let mut ops = Vec::new();
        for (_, token, value) in self.store.list(INVITE).await? {
            let good =
                serde_json::from_slice::<Invite>(&value).is_ok_and(|i| i.expires_ms > now_ms());
            if !good {
                ops.push(drop_invite(&token));
            }
        }
        let invite = Invite {
            token: random_id(),
            from,
            admin,
            expires_ms: now_ms() + ttl.as_millis() as i64,
        };
        let value = serde_json::to_vec(&invite).unwrap_or_default();
        ops.push(Op::Put {
            collection: INVITE,
            owner: String::new(),
            key: invite.token.clone(),
            value,
        });
        self.store.committed(ops).await?;
        Ok(invite)
    }

    /// The invite of a token, if it is good.
    pub async fn invite(&self, token: &str) -> Result<Option<Invite>, AccountError> {
        let found = self.store.get(INVITE, "", token).await?;
        let invite: Option<Invite> = found.and_then(|v| serde_json::from_slice(&v).ok());
        Ok(invite.filter(|i| i.expires_ms > now_ms()))
    }

    /// The invite for the first account; `None` once there is one.
    pub async fn first_run_invite(&self) -> Result<Option<Invite>, AccountError> {
        if !self.list().await?.is_empty() {
            return Ok(None);
        }
        for (_, _, value) in self.store.list(INVITE).await? {
            if let Ok(invite) = serde_json::from_slice::<Invite>(&value)
                && invite.admin
                && invite.expires_ms > now_ms() + 3_600_000
            {
                return Ok(Some(invite));
            }
        }
        self.create_invite(None, true, INVITE_TTL).await.map(Some)
    }

    /// Makes an account by an invite, which is then used up: in one commit, so that it works once.
    pub async fn redeem(
        &self,
        token: &str,
        name: &str,
        password: &str,
    ) -> Result<(BareJid, Invite), AccountError> {
        let _order = self.order.lock().await;
        let invite = self.invite(token).await?.ok_or(AccountError::Invite)?;
        let jid = self
            .make(name, password, invite.admin, vec![drop_invite(token)])
            .await?;
        Ok((jid, invite))
    }
}

fn drop_invite(token: &str) -> Op {
    Op::Delete {
        collection: INVITE,
        owner: String::new(),
        key: token.to_owned(),
    }
}

/// Key derivation takes tens of milliseconds: not on the runtime's threads.
async fn derive(password: &str) -> Result<String, AccountError> {
    let password = password.to_owned();
    let work = tokio::task::spawn_blocking(move || Credentials::from_password(&password)).await;
    Ok(work.unwrap_or(Err(PasswordError::Random))?.to_text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sync;

    #[tokio::test]
    async fn an_invite_works_once_and_the_domain_stays() {
        let folder = std::env::temp_dir().join(format!("liao-accounts-{}", std::process::id()));
        let store = Store::open(&folder, Sync::Off).unwrap();
        let accounts = Accounts::open(store.clone(), "x.example").await.unwrap();
        let first = accounts.first_run_invite().await.unwrap().unwrap();
        assert_eq!(
            accounts.first_run_invite().await.unwrap().unwrap().token,
            first.token,
            "the same until used"
        );
        assert!(matches!(
            accounts.redeem(&first.token, "a b", "pw").await,
            Err(AccountError::Name { .. })
        ));
        let (a, b) = tokio::join!(
            accounts.redeem(&first.token, "anna", "pw"),
            accounts.redeem(&first.token, "bob", "pw")
        );
        assert_eq!(u8::from(a.is_ok()) + u8::from(b.is_ok()), 1);
        assert!(accounts.first_run_invite().await.unwrap().is_none());
        assert!(accounts.list().await.unwrap()[0].admin);
        assert!(matches!(
            Accounts::open(store.clone(), "y.example").await,
            Err(AccountError::Domain { .. })
        ));
        store.close();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

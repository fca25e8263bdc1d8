//! For tests of what modules decide: a server without connections, and accounts whose state is looked at.

use crate::accounts::Accounts;
use crate::config::Config;
use crate::entity::{Item, State, Wanted, run};
use crate::mailbox::Mailbox;
use crate::server::Server;
use crate::store::{Store, Sync};
use liao_proto::jid::BareJid;
use liao_proto::stanza::Stanza;
use std::sync::Arc;

/// The server; it has one account, `user@x.example`.
pub struct House {
    server: Arc<Server>,
    folder: std::path::PathBuf,
}

/// The account.
pub fn user() -> BareJid {
    BareJid::new("user@x.example").unwrap()
}

impl House {
    pub async fn new(name: &str) -> House {
        let folder = std::env::temp_dir().join(format!("liao-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let store = Store::open(&folder, Sync::Off).unwrap();
        let accounts = Accounts::open(store.clone(), "x.example").await.unwrap();
        accounts.create("user", "secret", false).await.unwrap();
        let config = Arc::new(Config::default());
        let domain = BareJid::new("x.example").unwrap();
        let server = Server::start(config, domain, store, accounts, 1);
        House { server, folder }
    }

    /// Does something with the state behind an address.
    pub async fn within(
        &self,
        bare: BareJid,
        work: impl FnOnce(&Server, &mut State) + Send + 'static,
    ) {
        let done = self
            .server
            .within(&bare, move |cx| work(cx.server, cx.entity));
        done.await.unwrap();
    }
}

/// A session, available with a priority, or only connected.
pub fn bind(server: &Server, state: &mut State, id: u64, resource: &str, priority: Option<i8>) {
    let (reply, _) = tokio::sync::oneshot::channel();
    let bind = Item::Bind {
        id,
        wanted: Wanted {
            resource: Some(resource.to_owned()),
            ..Wanted::default()
        },
        mailbox: Arc::new(Mailbox::new(1 << 20)),
        reply,
    };
    run(server, state, bind);
    let session = state.session(id).unwrap();
    session.presence = priority.map(|_| Stanza::presence("").from(session.full.clone()));
    session.priority = priority.unwrap_or(0);
}

impl Drop for House {
    fn drop(&mut self) {
        self.server.store.close();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

//! The accounts of a run: made by in-band registration (XEP-0077), removed again unless they are to stay.

use crate::client::{Client, Registered, register};
use crate::target::Door;
use crate::{BenchError, Progress, random_tag};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Log-ins and registrations under way at once.
const AT_ONCE: usize = 16;

/// One account.
#[derive(Debug, Clone)]
pub struct User {
    /// What stands before the @.
    pub name: String,
    /// Its password.
    pub password: String,
    /// The last three numbers of its own loopback address.
    pub home: [u8; 3],
}

/// All accounts of a run: `PREFIX-1`, `PREFIX-2` …
#[derive(Debug, Clone)]
pub struct Accounts {
    prefix: String,
    password: String,
    stay: bool,
    net: u8,
}

impl Accounts {
    /// With a password the accounts may exist already and stay; without, they have names and a password that
    /// nobody else knows, and go away.
    pub fn new(prefix: &str, password: Option<String>) -> Result<Accounts, BenchError> {
        let tag = random_tag()?;
        let net = u8::from_str_radix(&tag[..2], 16).unwrap_or(1).clamp(1, 254);
        let stay = password.is_some();
        Ok(Accounts {
            prefix: match stay {
                true => prefix.to_owned(),
                false => format!("{prefix}-{tag}"),
            },
            password: match password {
                Some(password) => password,
                None => random_tag()? + &random_tag()?,
            },
            stay,
            net,
        })
    }

    /// The account of this number, from 0.
    pub fn user(&self, number: usize) -> User {
        User {
            name: format!("{}-{}", self.prefix, number + 1),
            password: self.password.clone(),
            home: [
                self.net,
                (number / 250 % 250) as u8,
                (number % 250 + 1) as u8,
            ],
        }
    }

    /// Makes the first `count` accounts, unless they are there.
    pub async fn make(
        &self,
        door: &Door,
        count: usize,
        progress: Progress<'_>,
    ) -> Result<(), BenchError> {
        // The last one is made last: if it lets us in, all are there.
        if self.stay && Client::login(door, &self.user(count - 1)).await.is_ok() {
            return Ok(());
        }
        let shared = Arc::new((door.clone(), self.clone()));
        let results = many(count, "accounts", progress, move |number| {
            let shared = shared.clone();
            async move { register(&shared.0, &shared.1.user(number)).await }
        })
        .await?;
        let refused = results.into_iter().find_map(|r| match r {
            Registered::Refused(why) => Some(why),
            Registered::Made | Registered::Existed => None,
        });
        let Some(why) = refused else { return Ok(()) };
        if self.stay {
            // Made by hand, perhaps: the log-in will tell.
            progress(&format!(
                "registration is refused: {why}; trying to log in all the same"
            ));
            return Ok(());
        }
        Err(BenchError::Refused(format!(
            "the server makes no accounts in-band: {why}.\n\
             Prosody: allow_registration = true (and c2s_require_encryption = false, or add --tls).\n\
             ejabberd: mod_register with `ip_access: all` and `access: all`-like rules, registration_timeout: infinity.\n\
             Or make the accounts {0}-1 … {0}-{count} yourself and give their password in LIAO_BENCH_PASSWORD.",
            self.prefix
                .rsplit_once('-')
                .map_or(self.prefix.as_str(), |(p, _)| p)
        )))
    }

    /// Logs in the first `count` accounts.
    pub async fn login(
        &self,
        door: &Door,
        count: usize,
        progress: Progress<'_>,
    ) -> Result<Vec<Client>, BenchError> {
        let shared = Arc::new((door.clone(), self.clone()));
        many(count, "log-ins", progress, move |number| {
            let shared = shared.clone();
            async move { Client::login(&shared.0, &shared.1.user(number)).await }
        })
        .await
    }

    /// Removes the accounts that are not to stay; what is left behind is said.
    pub async fn remove(&self, door: &Door, count: usize, progress: Progress<'_>) {
        if self.stay {
            return;
        }
        let shared = Arc::new((door.clone(), self.clone()));
        let removed = many(count, "accounts removed", progress, move |number| {
            let shared = shared.clone();
            async move {
                let client = Client::login(&shared.0, &shared.1.user(number)).await?;
                client.remove_account().await
            }
        })
        .await;
        if let Err(error) = removed {
            progress(&format!(
                "accounts {}-… are left on the server: {error}",
                self.prefix
            ));
        }
    }
}

/// Does `work` for each number below `count`, some at once; the results are in order.
pub(crate) async fn many<T, W, F>(
    count: usize,
    what: &str,
    progress: Progress<'_>,
    work: W,
) -> Result<Vec<T>, BenchError>
where
    T: Send + 'static,
    W: Fn(usize) -> F,
    F: Future<Output = Result<T, BenchError>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut done: Vec<(usize, T)> = Vec::with_capacity(count);
    let mut begun = 0;
    while done.len() < count {
        while begun < count && tasks.len() < AT_ONCE {
            let (number, future) = (begun, work(begun));
            tasks.spawn(async move { future.await.map(|value| (number, value)) });
            begun += 1;
        }
        match tasks.join_next().await {
            Some(Ok(result)) => done.push(result?),
            _ => return Err(BenchError::Wrong(format!("{what}: a task broke off"))),
        }
        if done.len().is_multiple_of(50) {
            progress(&format!("{what}: {} of {count}", done.len()));
        }
    }
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, value)| value).collect())
}

//! The exchange of SASL, the same for both profiles, and the classic one around it (RFC 6120 section 6).

use super::{Connection, Stop};
use crate::backoff::Try;
use crate::limits;
use liao_proto::jid::BareJid;
use liao_proto::sasl::{self, Condition, Mechanism, Profile, Step};
use liao_proto::stream::{Event, Limits};
use liao_proto::xml::Frame;
use std::time::{Duration, Instant};

/// Somebody who has proved who they are.
pub(super) struct Login {
    pub user: BareJid,
    /// Additional data with success.
    pub data: Vec<u8>,
}

impl Connection {
    /// Section 6.4.
    pub(super) async fn authenticate(&mut self, frame: &Frame) -> Result<(), Stop> {
        if self.user.is_some() {
            return Err(Stop::Error("policy-violation", "logged in already"));
        }
        let profile = Profile::Sasl;
        let wanted = frame.attr("mechanism").unwrap_or_default();
        let Some(login) = self.exchange(profile, wanted, frame.text()).await? else {
            return Ok(());
        };
        let success = match login.data.as_slice() {
            [] => format!("<success xmlns='{}'/>", profile.ns()),
            data => profile.element("success", data),
        };
        self.wire.queue(success.as_bytes());
        self.wire.restart();
        self.let_in(login.user);
        Ok(())
    }

    /// From now on it is this user's stream.
    pub(super) fn let_in(&mut self, user: BareJid) {
        self.wire.set_limits(Limits {
            element_bytes: self.server.bounds.stanza_bytes,
            depth: limits::STANZA_DEPTH,
        });
        self.wire.forget_bindings();
        self.user = Some(user);
    }

    /// From the first message of a client to its success; `None`: a failure was sent.
    pub(super) async fn exchange(
        &mut self,
        profile: Profile,
        wanted: &str,
        initial: String,
    ) -> Result<Option<Login>, Stop> {
        let offered = self.mechanisms(profile);
        let Some(mechanism) = Mechanism::parse(wanted).filter(|m| offered.contains(m)) else {
            let condition = match offered {
                [] => "encryption-required",
                _ => "invalid-mechanism",
            };
            return self.refuse(profile, condition);
        };
        let mut server = sasl::Server::new(mechanism, self.server.store.secret())
            .with_bindings(self.wire.bindings());
        let mut input = initial;
        let mut attempt = None;
        loop {
            let bytes = match profile.decode(&input) {
                Ok(bytes) => bytes,
                Err(condition) => return self.refuse(profile, condition.name()),
            };
            let mut step = server.step(&bytes);
            if let Step::NeedKeys { username } = &step {
                match self.admit(username) {
                    Ok(admitted) => attempt = Some(admitted),
                    Err(wait) => return self.pause(profile, wait),
                }
                let keys = self.keys(username, mechanism).await?;
                step = server.with_keys(keys);
            }
            match step {
                Step::Challenge(data) => {
                    let challenge = profile.element("challenge", &data);
                    self.wire.queue(challenge.as_bytes());
                }
                Step::Success {
                    username,
                    authzid,
                    data,
                } => {
                    if let Some(attempt) = attempt {
                        attempt.succeeded();
                    }
                    return self.proved(profile, &username, authzid, data).await;
                }
                Step::Failure(condition) => {
                    if let Some(attempt) = attempt {
                        attempt.failed(Instant::now());
                    }
                    return self.refuse_for(profile, condition);
                }
                Step::NeedKeys { .. } => return self.refuse(profile, "temporary-auth-failure"),
            }
            let ns = profile.ns();
            match self.wire.recv().await? {
                Event::Element(f) if f.is("response", ns) => input = f.text(),
                Event::Element(f) if f.is("abort", ns) => return self.refuse(profile, "aborted"),
                // XEP-0388 section 2.4: nothing else may come, and whoever sends it is disconnected.
                Event::Element(_) if profile == Profile::Sasl2 => {
                    return Err(Stop::Error("policy-violation", "finish the login first"));
                }
                Event::Element(_) => return self.refuse(profile, "malformed-request"),
                _ => return Err(Stop::Gone),
            }
        }
    }

    /// Section 6.3.8: only as oneself, and with SASL2 as whom the stream's header named (XEP-0388 section 4.4).
    async fn proved(
        &mut self,
        profile: Profile,
        username: &str,
        authzid: Option<String>,
        data: Vec<u8>,
    ) -> Result<Option<Login>, Stop> {
        let Ok(user) = self.address_of(username) else {
            return self.refuse(profile, "not-authorized");
        };
        if let Some(other) = authzid.filter(|a| !a.is_empty()) {
            let other = BareJid::new(&other).ok();
            let named = profile == Profile::Sasl || self.from.is_none() || self.from == other;
            if other.as_ref() != Some(&user) || !named {
                return self.refuse(profile, "invalid-authzid");
            }
        }
        match self.server.accounts.is_disabled(&user).await {
            Ok(false) => Ok(Some(Login { user, data })),
            // RFC 6120 section 6.5.2: told to nobody but who knows the password.
            Ok(true) => self.refuse(profile, "account-disabled"),
            Err(error) => {
                tracing::error!(%error, "the account cannot be read");
                Err(Stop::Error("internal-server-error", ""))
            }
        }
    }

    /// Counts a try; loopback peers are no exception, a proxy or a tunnel may stand there.
    fn admit(&self, username: &str) -> Result<Try, Duration> {
        let account = self.address_of(username).ok();
        self.server.logins.admit(
            account.as_ref().map(|a| a.as_str()),
            self.peer.address.ip(),
            Instant::now(),
        )
    }

    /// Section 6.5.11.
    fn pause<T>(&mut self, profile: Profile, wait: Duration) -> Result<Option<T>, Stop> {
        let seconds = wait.as_millis().div_ceil(1000);
        let text = format!("too many failed logins; try again in {seconds} s");
        self.refuse_with(profile, "temporary-auth-failure", &text)
    }

    async fn keys(
        &mut self,
        username: &str,
        mechanism: Mechanism,
    ) -> Result<Option<sasl::ScramKeys>, Stop> {
        let Ok(bare) = self.address_of(username) else {
            return Ok(None);
        };
        match self.server.accounts.credentials(&bare).await {
            Ok(credentials) => Ok(credentials.map(|c| c.keys_for(mechanism).clone())),
            Err(error) => {
                tracing::error!(%error, "the account cannot be read");
                Err(Stop::Error("internal-server-error", ""))
            }
        }
    }

    fn address_of(&self, username: &str) -> Result<BareJid, ()> {
        if username.contains(['@', '/']) {
            return Err(());
        }
        BareJid::new(&format!("{username}@{}", self.server.domain)).map_err(|_| ())
    }

    /// Section 6.4.5 and 6.5.
    pub(super) fn refuse<T>(
        &mut self,
        profile: Profile,
        condition: &str,
    ) -> Result<Option<T>, Stop> {
        self.refuse_with(profile, condition, "")
    }

    fn refuse_for<T>(&mut self, profile: Profile, why: Condition) -> Result<Option<T>, Stop> {
        self.refuse_with(profile, why.name(), why.text())
    }

    fn refuse_with<T>(
        &mut self,
        profile: Profile,
        condition: &str,
        text: &str,
    ) -> Result<Option<T>, Stop> {
        self.tries += 1;
        tracing::info!(peer = %self.peer.address.ip(), condition, text, "a login was refused");
        self.wire.queue(profile.failure(condition, text).as_bytes());
        if self.tries >= limits::AUTH_TRIES {
            return Err(Stop::Error("policy-violation", "too many wrong tries"));
        }
        Ok(None)
    }
}

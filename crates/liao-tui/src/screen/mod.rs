//! The screen as a program: draws the state, hands in what happens, does what the state asks for.

mod terminal;

use crate::app::{App, Effect, Input, SetUp};
use crate::i18n::Lang;
use crate::keys::Keys;
use crate::notify::{self, Notices};
use crate::os;
use crate::theme::Theme;
use liao_client::sockets::{Role, Sockets, resolve};
use liao_client::xmpp::{Dial, Invitation, Xmpp, invitation, register};
use liao_client::{
    Account, Backend, Command, Event, Failure, Kept, Link, Older, Page, Peer, Store, StoreError,
    now_ms,
};
use liao_proto::xep::invite::Invite;
use std::collections::VecDeque;
use std::time::Duration;
use terminal::Screen;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

/// Messages that a search offers.
const FOUND: usize = 200;
/// How long a polite end may take.
const LEAVING: Duration = Duration::from_secs(7);
/// Things that happened, taken in at once before the screen is drawn.
const AT_ONCE: usize = 512;

/// With what the screen begins.
pub struct Start {
    /// The client's data.
    pub store: Store,
    /// The account, if it is known with its password.
    pub account: Option<Account>,
    /// What stood on the command line in its place: an invite link, or an address.
    pub given: Option<String>,
    /// The server that was given.
    pub server: Option<String>,
    /// The certificate that the person vouches for.
    pub trust: Option<String>,
    /// Whom to talk to from the start.
    pub to: Option<String>,
    /// Plain sockets in place of an account: a running backend, whether it has one peer only, and that peer.
    pub sockets: Option<(Link, bool)>,
    /// Another running backend in place of an account, and the name that the client's data has for it.
    pub direct: Option<(Link, String)>,
}

/// Runs the screen to its end; the exit code.
pub async fn screen(start: Start, stop: impl Future<Output = ()>) -> u8 {
    let variable = |name: &str| std::env::var(name).ok();
    let screen = match Screen::open() {
        Ok(screen) => screen,
        Err(error) => {
            eprintln!("liao: the terminal: {error}; --plain needs none");
            return 1;
        }
    };
    let (keys, wrong) = own_keys();
    let mut app = App::new(Lang::detect(variable), Theme::detect(variable), keys);
    app.size = screen.size();
    let (sender, inputs) = mpsc::channel(256);
    screen.read(sender.clone());
    let mut program = Program {
        app,
        screen,
        notices: Notices::detect(variable),
        store: start.store.clone(),
        account: None,
        server: start.server.clone(),
        trust: start.trust.clone(),
        link: None,
        commands: VecDeque::new(),
        sender,
        inputs,
        unread: None,
        code: 0,
        ended: false,
    };
    if let Some(words) = wrong {
        program.app.wrong(words);
    }
    program.begin(start);
    program.run(stop).await;
    program.leave().await
}

/// The person's own keys, and what is wrong with them.
fn own_keys() -> (Keys, Option<String>) {
    let Some(path) = os::keys_file() else {
        return (Keys::default(), None);
    };
    let Ok(text) = std::fs::read_to_string(&path) else {
        return (Keys::default(), None);
    };
    match Keys::read(&text) {
        Ok(keys) => (keys, None),
        Err(why) => (Keys::default(), Some(format!("{}: {why}", path.display()))),
    }
}

struct Program {
    app: App,
    screen: Screen,
    notices: Notices,
    store: Store,
    /// The account that is being used.
    account: Option<Account>,
    server: Option<String>,
    trust: Option<String>,
    link: Option<Link>,
    /// What the backend has not taken yet.
    commands: VecDeque<Command>,
    sender: mpsc::Sender<Input>,
    inputs: mpsc::Receiver<Input>,
    /// What the terminal's title says.
    unread: Option<usize>,
    code: u8,
    ended: bool,
}

impl Program {
    fn begin(&mut self, start: Start) {
        if let Some((link, single)) = start.sockets {
            self.link = Some(link);
            self.app.with_sockets(single, start.to);
            self.preferences();
            return;
        }
        if let Some((link, name)) = start.direct {
            self.link = Some(link);
            self.app.with_account(&name, start.to);
            self.talk_as(&name);
            return;
        }
        match start.account {
            Some(account) if !account.password.is_empty() => {
                self.app.with_account(&account.jid, start.to);
                self.log_in(account);
            }
            Some(account) => self
                .app
                .ask_password(&account.jid, account.server.as_deref().unwrap_or_default()),
            None => self.app.first_run(start.given.as_deref()),
        }
    }

    async fn run(&mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            self.app.now_ms = now_ms();
            self.work().await;
            if self.ended {
                return;
            }
            self.draw();
            let commands = self.link.as_ref().map(|l| l.commands.clone());
            let wait = self.wait();
            tokio::select! {
                input = self.inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
                event = next(&mut self.link) => self.event(event),
                permit = permit(commands), if !self.commands.is_empty() => match (permit, self.commands.pop_front()) {
                    (Some(permit), Some(command)) => drop(permit.send(command)),
                    _ => self.commands.clear(),
                },
                () = sleep(wait) => self.app.update(Input::Tick),
                () = &mut stop => {
                    self.app.keep_draft();
                    self.commands.push_back(Command::Quit { goodbye: None });
                    self.ended = true;
                    self.work().await;
                    return;
                }
            }
            self.app.now_ms = now_ms();
            // What has happened meanwhile is drawn at once.
            for _ in 0..AT_ONCE {
                if let Ok(input) = self.inputs.try_recv() {
                    self.take(input);
                } else if let Some(Ok(event)) = self.link.as_mut().map(|l| l.events.try_recv()) {
                    self.event(Some(event));
                } else {
                    break;
                }
            }
        }
    }

    fn take(&mut self, input: Input) {
        let dropped = match &input {
            Input::Paste(text) => os::dropped(text),
            _ => None,
        };
        self.app.update(dropped.map_or(input, Input::Dropped));
    }

    /// Until something on the screen changes by itself.
    fn wait(&self) -> Duration {
        let counting = self.app.model.offline.is_some() || self.app.current_notice().is_some();
        Duration::from_secs(if counting { 1 } else { 30 })
    }

    fn event(&mut self, event: Option<Event>) {
        let Some(event) = event else {
            self.link = None;
            return;
        };
        match &event {
            Event::Online { .. } => {
                self.code = 0;
                if let Some(account) = &self.account {
                    self.complain(self.store.keep_account(account));
                }
            }
            Event::Closed { error: Some(error) } => {
                self.code = match error {
                    Failure::Refused(_) => 1,
                    Failure::Network(_) => 3,
                    Failure::NotAuthorized(_) => 4,
                };
                if matches!(error, Failure::NotAuthorized(_)) {
                    self.forget_password();
                }
            }
            _ => {}
        }
        if matches!(event, Event::Closed { .. }) {
            self.link = None;
            self.commands.clear();
        }
        if let Event::History {
            peer,
            before,
            messages,
            older,
        } = event
        {
            if older == Older::There && messages.is_empty() {
                self.app.say(self.app.words.older_there);
            }
            let page = before.map_or(Page::Newest, Page::Before);
            return self.page(peer, page, messages, older != Older::Nothing);
        }
        self.app.update(Input::Event(event));
    }

    /// A password that was refused is not kept.
    fn forget_password(&mut self) {
        let kept = self
            .account
            .take()
            .map(|a| self.store.account(Some(&a.jid)));
        if let Some(Ok(Some(mut account))) = kept {
            account.password.clear();
            self.complain(self.store.keep_account(&account));
        }
    }

    fn draw(&mut self) {
        self.app.arrange();
        if let Err(error) = self.screen.draw(&self.app) {
            // Nobody sees it any more.
            tracing::debug!(%error, "the terminal is gone");
            self.commands.push_back(Command::Quit { goodbye: None });
            self.ended = true;
        }
        let loud = self.app.model.people.values().filter(|p| !p.muted);
        let unread = loud.map(|p| p.unread).sum();
        if self.unread != Some(unread) {
            self.unread = Some(unread);
            self.screen.write(&notify::title(unread));
        }
    }

    /// Does what the state asks for, and what comes of it.
    async fn work(&mut self) {
        while !self.app.effects.is_empty() {
            for effect in std::mem::take(&mut self.app.effects) {
                self.effect(effect).await;
            }
        }
    }

    fn complain(&mut self, done: Result<(), StoreError>) {
        if let Err(error) = done {
            self.app.wrong(error.to_string());
        }
    }

    async fn effect(&mut self, effect: Effect) {
        let me = self.app.account.clone();
        match effect {
            Effect::Command(command) => self.commands.push_back(command),
            Effect::Load(peer, page, count) => self.load(peer, page, count),
            Effect::Search(peer, words) => {
                match self.store.find(&me, peer.as_deref(), &words, FOUND) {
                    Ok(found) => self.app.update(Input::Found(found)),
                    Err(error) => self.app.wrong(error.to_string()),
                }
            }
            Effect::Read(peer) if !self.app.model.only_memory() => {
                self.complain(self.store.read(&me, &peer));
                self.commands.push_back(Command::Read { peer });
            }
            Effect::Read(_) => {}
            Effect::Draft(peer, text) => self.complain(self.store.set_draft(&me, &peer, &text)),
            Effect::Pinned(peer, on) => self.complain(self.store.set_pinned(&me, &peer, on)),
            Effect::Muted(peer, on) => self.complain(self.store.set_muted(&me, &peer, on)),
            Effect::Prefer(name, value) => self.complain(self.store.prefer(&me, name, &value)),
            Effect::Book => self.book(),
            Effect::Unbook(name) => self.unbook(&name),
            Effect::Notify(title, words) => {
                self.screen.write(&self.notices.message(&title, &words))
            }
            Effect::Copy(text) => self.screen.copy(&text),
            Effect::Open(link) => {
                if let Err(why) = os::open(&link) {
                    self.app.wrong(why);
                }
            }
            Effect::Find(peer, id) => match self.store.place_of(&me, &peer, &id) {
                Ok(n) => self.app.update(Input::Placed(peer, n)),
                Err(error) => self.app.wrong(error.to_string()),
            },
            Effect::Save(id, file) => {
                let folder = os::downloads();
                let save = Command::SaveFile { id, file, folder };
                self.commands.push_back(save);
            }
            Effect::Complete(begun) => self.app.update(Input::Completed(os::complete(&begun))),
            Effect::Paste(text) => self.app.update(Input::Pasted(os::paste_file(&text))),
            Effect::Forget(path) => os::forget_paste(&path),
            Effect::Editor(text) => {
                let edited = self.screen.aside(|| os::edit(&text));
                self.app.update(Input::Edited(edited));
            }
            Effect::Mouse(on) => self.screen.mouse(on),
            Effect::Redraw => self.screen.redraw(),
            Effect::Invitation(invite) => self.understand(invite),
            Effect::Register(invitation, name, password) => {
                self.register(invitation, name, password)
            }
            Effect::LogIn(account) => self.log_in(account),
            Effect::HangUp => self.link = None,
            Effect::Sockets(role, address) => self.sockets(role, &address).await,
            Effect::Quit => self.ended = true,
        }
    }

    /// What stands before is asked of the backend, which fetches what the disk does not have.
    fn load(&mut self, peer: Peer, page: Page, count: usize) {
        let before = match page {
            Page::Newest => None,
            Page::Before(n) => Some(n),
            Page::From(_) => {
                return match self.store.page(&self.app.account, &peer, page, count) {
                    Ok(kept) => {
                        let more = kept.len() == count;
                        self.page(peer, page, kept, more);
                    }
                    Err(error) => self.app.wrong(error.to_string()),
                };
            }
        };
        self.commands.push_back(Command::History {
            peer,
            before,
            count,
        });
    }

    fn page(&mut self, peer: Peer, page: Page, kept: Vec<Kept>, more: bool) {
        self.app.update(Input::Page {
            peer,
            page,
            kept,
            more,
        });
    }

    fn book(&mut self) {
        match self.store.addresses() {
            Ok(book) => self.app.update(Input::Book(book)),
            Err(error) => self.app.wrong(error.to_string()),
        }
    }

    fn unbook(&mut self, name: &str) {
        let words = self.app.words;
        match self.store.unbook(name) {
            Ok(true) => self.app.say(crate::i18n::fill(words.book_removed, &[name])),
            Ok(false) => self
                .app
                .wrong(crate::i18n::fill(words.book_missing, &[name])),
            Err(error) => self.app.wrong(error.to_string()),
        }
    }

    /// What the person chose on other days.
    fn preferences(&mut self) {
        let store = self.store.clone();
        let account = self.app.account.clone();
        let get = |name: &str| store.preference(&account, name).ok().flatten();
        self.app.restore(&get);
        self.screen.mouse(self.app.mouse);
    }

    /// What is kept under this name is shown.
    fn talk_as(&mut self, name: &str) {
        name.clone_into(&mut self.app.account);
        self.preferences();
        match self.store.conversations(name) {
            Ok(all) => self.app.update(Input::Conversations(all)),
            Err(error) => self.app.wrong(error.to_string()),
        }
    }

    fn log_in(&mut self, mut account: Account) {
        if account.server.is_none() {
            account.server.clone_from(&self.server);
        }
        self.app.server = account.server.clone().unwrap_or_default();
        self.talk_as(&account.jid);
        self.account = Some(account.clone());
        self.link = Some(
            Box::new(Xmpp {
                account,
                store: self.store.clone(),
                listen: true,
                trust: self.trust.take(),
            })
            .start(),
        );
    }

    /// Does something of setting up aside, and hands in how it went.
    fn aside<F>(
        &self,
        work: impl FnOnce(Store, Option<String>, mpsc::Sender<Event>) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<SetUp, Failure>> + Send,
    {
        let (events, mut told) = mpsc::channel(16);
        let (store, trust, sender) = (self.store.clone(), self.trust.clone(), self.sender.clone());
        tokio::spawn(async move {
            let done = work(store, trust, events).await;
            while let Ok(event) = told.try_recv() {
                let _ = sender.send(Input::Event(event)).await;
            }
            let _ = sender.send(Input::SetUp(Box::new(done))).await;
        });
    }

    fn understand(&self, invite: Invite) {
        let server = self.server.clone();
        self.aside(move |store, trust, events| async move {
            let dial = Dial {
                domain: "",
                server: server.as_deref(),
                store: &store,
                trust: trust.as_deref(),
                events: &events,
            };
            invitation(invite, &dial).await.map(SetUp::Invited)
        });
    }

    fn register(&self, invitation: Invitation, name: String, password: String) {
        self.aside(move |store, trust, events| async move {
            let dial = Dial {
                domain: &invitation.domain,
                server: invitation.server.as_deref(),
                store: &store,
                trust: trust.as_deref(),
                events: &events,
            };
            let jid = register(&dial, &invitation.token, &name, &password).await?;
            let account = Account {
                jid: jid.to_string(),
                password,
                server: invitation.server.clone(),
            };
            // It exists now: the password must not be lost to an accident.
            store
                .keep_account(&account)
                .map_err(|e| Failure::Refused(e.to_string()))?;
            Ok(SetUp::Registered(account))
        });
    }

    async fn sockets(&mut self, role: Role, address: &str) {
        let found = match resolve(address).await {
            Ok(found) => found,
            Err(why) => {
                let failure = Failure::Network(why);
                return self.app.update(Input::SetUp(Box::new(Err(failure))));
            }
        };
        let client = matches!(role, Role::TcpClient | Role::UdpClient);
        let to = client.then(|| found.to_string());
        self.app.with_sockets(role == Role::TcpClient, to);
        self.link = Some(
            Box::new(Sockets {
                role,
                address: found,
                name: None,
                kind: None,
                store: Some(self.store.clone()),
            })
            .start(),
        );
    }

    /// The end: the terminal is the person's again at once, the goodbyes follow.
    async fn leave(mut self) -> u8 {
        self.work().await;
        drop(self.screen);
        let Some(Link {
            commands,
            mut events,
        }) = self.link
        else {
            return self.code;
        };
        let until = Instant::now() + LEAVING;
        let told = async {
            for command in self.commands {
                let quit = matches!(command, Command::Quit { .. });
                if commands.send(command).await.is_err() || quit {
                    break;
                }
            }
            drop(commands);
        };
        let heard = async {
            while let Some(event) = events.recv().await {
                if matches!(event, Event::Closed { .. }) {
                    break;
                }
            }
        };
        let _ = timeout_at(until, async { tokio::join!(told, heard) }).await;
        self.code
    }
}

/// The backend's next event; never, without a backend.
async fn next(link: &mut Option<Link>) -> Option<Event> {
    match link {
        Some(link) => link.events.recv().await,
        None => std::future::pending().await,
    }
}

/// Room for a command; never, without a backend.
async fn permit(commands: Option<mpsc::Sender<Command>>) -> Option<mpsc::OwnedPermit<Command>> {
    match commands {
        Some(commands) => commands.reserve_owned().await.ok(),
        None => std::future::pending().await,
    }
}

//! The first run and later logins: a form whose mistakes are told inside the form.

use super::{App, Effect, SetUp};
use crate::composer::Composer;
use crate::i18n::Text;
use crate::keys::Action;
use liao_client::sockets::Role;
use liao_client::xmpp::Invitation;
use liao_client::{Account, Failure};
use liao_proto::jid::BareJid;
use liao_proto::xep::invite;

/// What is asked for.
pub enum Step {
    /// An invite link, or an address.
    Link,
    /// A name and a password for the account that the invitation promises.
    Account(Invitation),
    /// The password of an account that exists.
    LogIn(String),
    /// How to talk by plain sockets.
    Sockets(Role),
}

/// One question.
pub struct Field {
    /// The question.
    pub label: Text,
    /// A word under it.
    pub help: Option<Text>,
    /// The answer.
    pub input: Composer,
    /// Shown as dots.
    pub secret: bool,
}

/// A form.
pub struct Form {
    /// What is asked for.
    pub step: Step,
    /// The questions.
    pub fields: Vec<Field>,
    /// The one with the cursor.
    pub at: usize,
    /// Somebody else's answer is waited for.
    pub busy: bool,
    /// What was wrong.
    pub error: Option<String>,
    /// Secrets are shown.
    pub shown: bool,
}

fn field(label: Text, text: &str) -> Field {
    Field {
        label,
        help: None,
        input: Composer::with(text),
        secret: false,
    }
}

fn secret(label: Text) -> Field {
    Field {
        secret: true,
        ..field(label, "")
    }
}

impl Form {
    fn new(step: Step, fields: Vec<Field>) -> Form {
        Form {
            step,
            fields,
            at: 0,
            busy: false,
            error: None,
            shown: false,
        }
    }

    /// The first question of all.
    pub fn first(text: &str) -> Form {
        let mut link = field(|w| w.link_or_address, text);
        link.help = Some(|w| w.link_help);
        Form::new(Step::Link, vec![link])
    }

    fn account(invitation: Invitation) -> Form {
        let mut fields = vec![field(|w| w.choose_name, ""), secret(|w| w.choose_password)];
        if invitation.name.is_some() {
            fields.remove(0);
        }
        fields
            .iter_mut()
            .filter(|f| f.secret)
            .for_each(|f| f.help = Some(|w| w.password_kept));
        Form::new(Step::Account(invitation), fields)
    }

    fn log_in(jid: &str, server: &str) -> Form {
        let mut at = field(|w| w.server_field, server);
        at.help = Some(|w| w.server_field_help);
        Form::new(
            Step::LogIn(jid.to_owned()),
            vec![secret(|w| w.your_password), at],
        )
    }

    fn sockets(role: Role) -> Form {
        Form::new(
            Step::Sockets(role),
            vec![field(|w| w.sockets_address, "127.0.0.1:8080")],
        )
    }

    fn text(&self, label: usize) -> &str {
        self.fields.get(label).map_or("", |f| f.input.text())
    }

    /// The words of the first field that has them as a secret, or not.
    fn answer(&self, secret: bool) -> String {
        let found = self.fields.iter().find(|f| f.secret == secret);
        found.map_or(String::new(), |f| f.input.text().to_owned())
    }
}

/// The programs of plain sockets, in the order of the form.
pub const ROLES: [(Role, Text); 4] = [
    (Role::TcpClient, |w| w.role_tcp_client),
    (Role::TcpServer, |w| w.role_tcp_server),
    (Role::UdpClient, |w| w.role_udp_client),
    (Role::UdpServer, |w| w.role_udp_server),
];

impl App {
    /// Begins with the form.
    pub fn first_run(&mut self, given: Option<&str>) {
        self.form = Some(Form::first(given.unwrap_or_default()));
        if given.is_some() {
            self.confirm();
        }
    }

    /// Begins with the password of an account that is known.
    pub fn ask_password(&mut self, jid: &str, server: &str) {
        jid.clone_into(&mut self.account);
        server.clone_into(&mut self.server);
        self.form = Some(Form::log_in(jid, server));
    }

    /// The server refused: the form says why, with the account filled in.
    pub(super) fn log_in_again(&mut self, error: &Failure) {
        let mut form = Form::log_in(&self.account, &self.server);
        form.error = Some(error.to_string());
        self.form = Some(form);
    }

    pub(super) fn form_key(&mut self, action: Action) {
        let Some(form) = &mut self.form else { return };
        if form.busy && !matches!(action, Action::Quit | Action::Back | Action::Redraw) {
            return;
        }
        let last = form.fields.len().saturating_sub(1);
        match action {
            Action::Quit => self.effects.push(Effect::Quit),
            Action::Redraw => self.effects.push(Effect::Redraw),
            Action::Back => self.step_back(),
            Action::Show => form.shown = !form.shown,
            Action::Send if form.at < last && form.text(form.at + 1).is_empty() => form.at += 1,
            Action::Send => self.confirm(),
            Action::Down if matches!(form.step, Step::Sockets(_)) => self.next_role(1),
            Action::Up if matches!(form.step, Step::Sockets(_)) => self.next_role(3),
            Action::Down => form.at = if form.at == last { 0 } else { form.at + 1 },
            Action::Up => form.at = form.at.checked_sub(1).unwrap_or(last),
            Action::Sockets if matches!(form.step, Step::Link) => {
                self.form = Some(Form::sockets(Role::TcpClient));
            }
            action => {
                let at = form.at;
                if let Some(field) = form.fields.get_mut(at) {
                    super::actions::edit(&mut field.input, action);
                }
            }
        }
    }

    fn next_role(&mut self, by: usize) {
        if let Some(form) = &mut self.form
            && let Step::Sockets(role) = form.step
        {
            let at = ROLES.iter().position(|(r, _)| *r == role).unwrap_or(0);
            form.step = Step::Sockets(ROLES[(at + by) % ROLES.len()].0);
        }
    }

    fn step_back(&mut self) {
        match &self.form {
            Some(Form {
                step: Step::Link, ..
            })
            | None => self.effects.push(Effect::Quit),
            Some(_) => self.form = Some(Form::first("")),
        }
    }

    /// Words typed or pasted into the form.
    pub(super) fn form_text(&mut self, text: &str) {
        let Some(form) = self.form.as_mut().filter(|f| !f.busy) else {
            return;
        };
        form.error = None;
        let at = form.at;
        if let Some(field) = form.fields.get_mut(at) {
            field.input.insert(&text.replace(['\n', '\r'], " "));
        }
    }

    pub(super) fn form_wrong(&mut self, words: impl Into<String>) {
        if let Some(form) = &mut self.form {
            form.busy = false;
            form.error = Some(words.into());
        }
    }

    fn confirm(&mut self) {
        let Some(form) = &mut self.form else { return };
        form.error = None;
        match &form.step {
            Step::Link => {
                let text = form.text(0).trim().to_owned();
                if let Some(invite) = invite::parse(&text) {
                    form.busy = true;
                    self.effects.push(Effect::Invitation(invite));
                } else if let Some(jid) = BareJid::new(&text).ok().filter(|j| j.node().is_some()) {
                    self.form = Some(Form::log_in(jid.as_str(), ""));
                } else {
                    self.form_wrong(self.words.no_link);
                }
            }
            Step::Account(invitation) => {
                let name = match &invitation.name {
                    Some(name) => name.clone(),
                    None => form.answer(false).trim().to_owned(),
                };
                let (invitation, password) = (invitation.clone(), form.answer(true));
                if name.is_empty() {
                    form.at = 0;
                    self.form_wrong(self.words.empty_name);
                } else if password.is_empty() {
                    self.form_wrong(self.words.empty_password);
                } else {
                    form.busy = true;
                    let effect = Effect::Register(invitation, name, password);
                    self.effects.push(effect);
                }
            }
            Step::LogIn(jid) => {
                let (jid, password) = (jid.clone(), form.answer(true));
                let server = Some(form.answer(false).trim().to_owned()).filter(|s| !s.is_empty());
                if password.is_empty() {
                    form.at = 0;
                    return self.form_wrong(self.words.empty_password);
                }
                form.busy = true;
                self.account.clone_from(&jid);
                self.effects.push(Effect::LogIn(Account {
                    jid,
                    password,
                    server,
                }));
            }
            Step::Sockets(role) => {
                let (role, address) = (*role, form.text(0).trim().to_owned());
                form.busy = true;
                self.effects.push(Effect::Sockets(role, address));
            }
        }
    }

    /// Setting up has come further, or not.
    pub(super) fn set_up(&mut self, done: Result<SetUp, Failure>) {
        match done {
            Ok(SetUp::Invited(invitation)) => self.form = Some(Form::account(invitation)),
            Ok(SetUp::Registered(account)) => {
                self.account.clone_from(&account.jid);
                // The account exists: whatever fails from here on, only the login is tried again.
                let server = account.server.as_deref().unwrap_or_default();
                let mut form = Form::log_in(&account.jid, server);
                form.fields[0].input.insert(&account.password);
                form.busy = true;
                self.form = Some(form);
                self.effects.push(Effect::LogIn(account));
            }
            Err(error) => self.form_wrong(error.to_string()),
        }
    }
}

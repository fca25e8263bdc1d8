//! From a stream to a session: SASL or SASL2 by the best mechanism, resumption, binding (RFC 6120 sections 6 and 7,
//! XEP-0388, XEP-0386, XEP-0198 sections 5 and 9, XEP-0440).

use super::connect::{ask, begin, element, network, send};
use super::session::{Managing, Start};
use crate::backend::Failure;
use crate::store::Store;
use liao_net::Wire;
use liao_proto::jid::{BareJid, Jid};
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::sasl::{Channel, ChoiceError, Client, ClientError, Mechanism, Offer, Profile};
use liao_proto::xml::escape;

/// What programs of this name put before their resource.
const TAG: &str = "liao";

/// Who wants what.
pub struct Wish<'a> {
    /// The account.
    pub jid: &'a BareJid,
    /// Its password.
    pub password: &'a str,
    /// The resource, where the client chooses it.
    pub resource: &'a str,
    /// To be there for others, not only to send something.
    pub listen: bool,
    /// This program on this machine, the same each time (XEP-0388 section 2.3).
    pub agent: Option<&'a str>,
    /// Where it is kept that a server can bind channels.
    pub store: &'a Store,
    /// The person vouched for this connection's certificate.
    pub trusting: bool,
    /// A stream to be resumed: its SM-ID and what was handled of it.
    pub previous: Option<(String, u32)>,
}

/// From the features of a fresh stream to a session: the bound address, or none if an older stream goes on.
pub async fn enter(
    wire: &mut Wire,
    features: &Element,
    wish: &Wish<'_>,
) -> Result<(Option<String>, Start), Failure> {
    if let Some(feature) = features.get_child("authentication", ns::SASL2) {
        match choose(wire, features, Profile::Sasl2) {
            Ok(chosen) => return enter_by_sasl2(wire, feature, wish, chosen).await,
            // It may still be there in the classic way.
            Err(ChoiceError::Mechanism) => {}
            Err(error) => return Err(Failure::Refused(error.to_string())),
        }
    }
    let chosen = choose(wire, features, Profile::Sasl).map_err(|error| {
        let offered = mechanisms(features, Profile::Sasl).join(", ");
        Failure::Refused(format!("{error} (the server offers: {offered})"))
    })?;
    let (mechanism, channel) = chosen;
    authenticate(wire, Profile::Sasl, mechanism, &channel, wish, "").await?;
    wire.restart();
    let features = begin(wire, wish.jid.domain().as_str()).await?;
    settle(wire, &features, wish, wish.previous.as_ref(), None).await
}

fn mechanisms(features: &Element, profile: Profile) -> Vec<String> {
    let name = match profile {
        Profile::Sasl => "mechanisms",
        Profile::Sasl2 => "authentication",
    };
    let all = features.get_child(name, profile.ns()).into_iter();
    let all = all.flat_map(Element::children);
    all.filter(|m| m.is("mechanism", profile.ns()))
        .map(Element::text)
        .collect()
}

/// The best of what both sides can do. PLAIN only comes here under TLS.
fn choose(
    wire: &Wire,
    features: &Element,
    profile: Profile,
) -> Result<(Mechanism, Channel), ChoiceError> {
    let mechanisms = mechanisms(features, profile);
    let types = features.get_child("sasl-channel-binding", ns::SASL_CB);
    let types = types.into_iter().flat_map(Element::children);
    let types: Vec<String> = types
        .filter_map(|t| t.attr("type").map(str::to_owned))
        .collect();
    let offer = Offer {
        mechanisms: &mechanisms,
        types: &types,
        sasl2: profile == Profile::Sasl2,
    };
    offer.choose(wire.bindings(), true)
}

/// Resumption and binding in the classic way; `had`: what is known of a stream that could not be resumed.
async fn settle(
    wire: &mut Wire,
    features: &Element,
    wish: &Wish<'_>,
    previous: Option<&(String, u32)>,
    had: Option<u32>,
) -> Result<(Option<String>, Start), Failure> {
    let managed = features.get_child("sm", ns::SM).is_some();
    let mut start = Start {
        managed: match managed {
            true => Managing::Offered,
            false => Managing::No,
        },
        carbons: false,
        archive: false,
        resumed: None,
        had,
    };
    if let Some((sm_id, handled)) = previous.filter(|_| managed) {
        send(wire, &resume(sm_id, *handled)).await?;
        match resumption(&element(wire).await?) {
            Some(Ok(h)) => start.resumed = Some(h),
            Some(Err(h)) => start.had = h,
            None => return Err(network("the server neither resumes nor refuses to")),
        }
    }
    match start.resumed {
        Some(_) => Ok((None, start)),
        None => Ok((Some(bind(wire, features, wish).await?), start)),
    }
}

fn resume(sm_id: &str, handled: u32) -> String {
    let previous = escape(sm_id);
    format!(
        "<resume xmlns='{}' previd='{previous}' h='{handled}'/>",
        ns::SM
    )
}

/// What the server has handled of a resumed stream, or `Err` of one that is over; `None`: neither is said.
fn resumption(answer: &Element) -> Option<Result<u32, Option<u32>>> {
    let h = answer.attr("h").and_then(|h| h.parse().ok());
    match (answer.name(), h) {
        _ if answer.ns() != ns::SM => None,
        ("resumed", Some(h)) => Some(Ok(h)),
        ("failed", h) => Some(Err(h)),
        _ => None,
    }
}

/// Binds a resource (RFC 6120 section 7); the full address.
async fn bind(wire: &mut Wire, features: &Element, wish: &Wish<'_>) -> Result<String, Failure> {
    if features.get_child("bind", ns::BIND).is_none() {
        return Err(network("the server offers no binding"));
    }
    let bind = format!(
        "<iq type='set' id='bind'><bind xmlns='{}'><resource>{}</resource></bind></iq>",
        ns::BIND,
        escape(wish.resource)
    );
    let answer = ask(wire, &bind, "bind").await?;
    let full = answer
        .get("bind", ns::BIND)
        .and_then(|b| b.get_child("jid", ns::BIND).map(Element::text));
    match full {
        Some(full) if is_ours(&full, wish.jid) => Ok(full),
        _ => Err(network("the server bound no address")),
    }
}

fn is_ours(address: &str, jid: &BareJid) -> bool {
    Jid::new(address).is_ok_and(|a| a.to_bare() == *jid)
}

/// What is to be done with the login (XEP-0388 section 2.3).
fn extras(feature: &Element, wish: &Wish<'_>) -> String {
    let id = wish.agent.map_or(String::new(), |id| format!(" id='{id}'"));
    let mut out = format!("<user-agent{id}><software>{TAG}</software></user-agent>");
    let inline = feature.get_child("inline", ns::SASL2);
    let offers = |name: &str, ns: &str| inline.and_then(|i| i.get_child(name, ns));
    if let Some((sm_id, handled)) = &wish.previous
        && offers("sm", ns::SM).is_some()
    {
        out.push_str(&resume(sm_id, *handled));
    }
    // Binding so takes the waiting messages off the server's list (XEP-0386 section 3.2); who only sends leaves them.
    if let Some(bind) = offers("bind", ns::BIND2).filter(|_| wish.listen) {
        let listed = bind.get_child("inline", ns::BIND2).into_iter();
        let listed: Vec<&str> = listed
            .flat_map(Element::children)
            .filter_map(|f| f.attr("var"))
            .collect();
        out.push_str(&format!("<bind xmlns='{}'><tag>{TAG}</tag>", ns::BIND2));
        if listed.contains(&ns::SM) {
            out.push_str(&format!("<enable xmlns='{}' resume='true'/>", ns::SM));
        }
        if listed.contains(&ns::CARBONS) {
            out.push_str(&format!("<enable xmlns='{}'/>", ns::CARBONS));
        }
        out.push_str("</bind>");
    }
    out
}

async fn enter_by_sasl2(
    wire: &mut Wire,
    feature: &Element,
    wish: &Wish<'_>,
    (mechanism, channel): (Mechanism, Channel),
) -> Result<(Option<String>, Start), Failure> {
    let extras = extras(feature, wish);
    let profile = Profile::Sasl2;
    let success = authenticate(wire, profile, mechanism, &channel, wish, &extras).await?;
    let who = success.get_child("authorization-identifier", ns::SASL2);
    let who = who.map(Element::text).unwrap_or_default();
    if !is_ours(who.trim(), wish.jid) {
        return Err(network("the server logged us in as somebody else"));
    }
    let answer = success.children().find_map(resumption);
    let had = match answer {
        // The stream goes on at once (XEP-0198 section 9.2).
        Some(Ok(h)) => {
            let start = Start {
                managed: Managing::No,
                carbons: false,
                archive: false,
                resumed: Some(h),
                had: None,
            };
            return Ok((None, start));
        }
        Some(Err(h)) => h,
        None => None,
    };
    let features = element(wire).await?;
    if !features.is("features", ns::STREAM) {
        return Err(network("the server sends no features after the login"));
    }
    let Some(bound) = success.get_child("bound", ns::BIND2) else {
        let untried = wish.previous.as_ref().filter(|_| answer.is_none());
        return settle(wire, &features, wish, untried, had).await;
    };
    let enabled = bound.get_child("enabled", ns::SM);
    let resumable = |e: &Element| matches!(e.attr("resume"), Some("true" | "1"));
    let managed = match enabled {
        Some(e) => Managing::Enabled(e.attr("id").filter(|_| resumable(e)).map(str::to_owned)),
        None if features.get_child("sm", ns::SM).is_some() => Managing::Offered,
        None => Managing::No,
    };
    let start = Start {
        managed,
        carbons: extras.contains(ns::CARBONS),
        archive: bound.get_child("metadata", ns::MAM).is_some(),
        resumed: None,
        had,
    };
    Ok((Some(who.trim().to_owned()), start))
}

/// Who could bind channels once can do so always: less is a sign of somebody in between, who takes it out of the
/// server's offer. A WebSocket has no part in this.
fn expect_binding(wire: &Wire, wish: &Wish<'_>, channel: &Channel) -> Result<(), Failure> {
    let bound = matches!(channel, Channel::Bound(_));
    if bound || wish.trusting || wire.bindings().is_empty() {
        return Ok(());
    }
    let before = wish.store.pin(&bound_before(wish));
    match before.map_err(|e| Failure::Refused(e.to_string()))? {
        None => Ok(()),
        Some(kind) if kind.is_empty() => Ok(()),
        Some(_) => Err(Failure::Refused(format!(
            "{} used to prove at each login that nobody sits in between, and does not offer to any more.\n\
             Somebody may be listening in. If you know why it changed, say so with --trust FINGERPRINT (the \
             certificate's, as the server shows it).",
            wish.jid.domain()
        ))),
    }
}

/// No host has such a name.
fn bound_before(wish: &Wish<'_>) -> String {
    format!("login:{}", wish.jid.domain())
}

/// After a login on this channel.
fn remember_binding(wish: &Wish<'_>, channel: &Channel) -> Result<(), Failure> {
    let key = bound_before(wish);
    let kind = match channel {
        Channel::Bound(binding) => binding.kind.name(),
        // The person has vouched for it.
        _ => "",
    };
    let known = wish.store.pin(&key);
    let kept = known.and_then(|known| match known.unwrap_or_default() == kind {
        true => Ok(()),
        false => wish.store.set_pin(&key, kind),
    });
    kept.map_err(|e| Failure::Refused(e.to_string()))
}

/// The exchange of either profile; the success. `extras` go with the first message of SASL2.
async fn authenticate(
    wire: &mut Wire,
    profile: Profile,
    mechanism: Mechanism,
    channel: &Channel,
    wish: &Wish<'_>,
    extras: &str,
) -> Result<Element, Failure> {
    expect_binding(wire, wish, channel)?;
    let user = wish.jid.node().map(|n| n.as_str().to_owned());
    let user = user.unwrap_or_default();
    let client = Client::new(mechanism, &user, wish.password);
    let mut client = client.map_err(unproved)?.with_channel(channel);
    let (ns, name, initial) = (profile.ns(), mechanism.name(), client.initial());
    let first = profile.encode(&initial);
    let first = match profile {
        Profile::Sasl => format!("<auth xmlns='{ns}' mechanism='{name}'>{first}</auth>"),
        Profile::Sasl2 => format!(
            "<authenticate xmlns='{ns}' mechanism='{name}'>\
             <initial-response>{first}</initial-response>{extras}</authenticate>"
        ),
    };
    send(wire, &first).await?;
    loop {
        let answer = element(wire).await?;
        let data = match (answer.name(), profile) {
            _ if answer.ns() != ns => return Err(network("the server does not finish the login")),
            ("success", Profile::Sasl2) => answer
                .get_child("additional-data", ns)
                .map(Element::text)
                .unwrap_or_default(),
            _ => answer.text(),
        };
        let data = || profile.decode(&data).unwrap_or_default();
        match answer.name() {
            "challenge" => {
                let response = client.step(&data()).map_err(unproved)?;
                send(wire, &profile.element("response", &response)).await?;
            }
            "success" => {
                // The server's proof comes here, or came with the last challenge.
                let data = data();
                if !(data.is_empty() && client.is_verified()) {
                    client.finish(&data).map_err(unproved)?;
                }
                wire.forget_bindings();
                remember_binding(wish, channel)?;
                return Ok(answer);
            }
            "continue" => return Err(further(&answer)),
            _ => return Err(refusal(&answer, wish.jid)),
        }
    }
}

fn unproved(error: ClientError) -> Failure {
    Failure::NotAuthorized(error.to_string())
}

/// XEP-0388 section 2.6.3.
fn further(answer: &Element) -> Failure {
    let tasks = answer.get_child("tasks", ns::SASL2).into_iter();
    let tasks: Vec<String> = tasks
        .flat_map(Element::children)
        .map(Element::text)
        .collect();
    Failure::Refused(format!(
        "the server asks for more than a password, and liao has no answer to it ({})",
        tasks.join(", ")
    ))
}

/// RFC 6120 section 6.5.
fn refusal(failure: &Element, jid: &BareJid) -> Failure {
    let condition = failure
        .children()
        .find(|c| c.name() != "text" && c.ns() == ns::SASL)
        .map_or("not-authorized", Element::name);
    let text = failure
        .children()
        .find(|c| c.name() == "text")
        .map(Element::text)
        .filter(|t| !t.is_empty());
    let text = text.map_or(String::new(), |t| format!(" ({t})"));
    match condition {
        "temporary-auth-failure" => {
            Failure::Network(format!("the server cannot log anyone in now{text}"))
        }
        "account-disabled" => Failure::NotAuthorized(format!("{jid} is disabled{text}")),
        "credentials-expired" => {
            Failure::NotAuthorized(format!("the password of {jid} has expired{text}"))
        }
        // RFC 5802 section 7: the password is not to blame.
        "not-authorized" if text.contains("channel-binding") => Failure::Refused(format!(
            "the connection does not end where the server's begins{text}: somebody sits in between"
        )),
        "not-authorized" => Failure::NotAuthorized(format!(
            "{jid}: the name or the password is wrong{text}; `liao chat {jid}` asks for it again"
        )),
        other => Failure::NotAuthorized(format!("{jid}: {other}{text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use liao_proto::stream::{Event, Limits};

    const OFFER: &str = "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>\
        <authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline><sm xmlns='urn:xmpp:sm:3'/>\
        <bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/></inline></bind>\
        </inline></authentication></stream:features>";
    const NEXT: &str = "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>\
        <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>";

    /// What comes of these answers of a server, one for each of our elements; and our first element.
    async fn enter_with(
        answers: &[&str],
        listen: bool,
    ) -> (Result<(Option<String>, Start), Failure>, String) {
        let (a, b) = tokio::io::duplex(65_536);
        let (mut ours, mut theirs) = (
            Wire::stream(a, true, Limits::default()),
            Wire::stream(b, true, Limits::default()),
        );
        let folder = std::env::temp_dir().join(format!("liao-login-{}", crate::random_id()));
        let store = Store::open(&folder).unwrap();
        let jid = BareJid::new("a@x").unwrap();
        let wish = Wish {
            jid: &jid,
            password: "pw",
            resource: "r",
            listen,
            agent: Some("d4565fa7-4d72-4749-b3d3-740edbf87770"),
            store: &store,
            trusting: false,
            previous: Some(("old".to_owned(), 7)),
        };
        let server = async {
            let mut first = String::new();
            theirs.queue_open(&Default::default());
            theirs.queue(OFFER.as_bytes());
            for answer in answers {
                while let Ok(event) = theirs.recv().await {
                    if let Event::Element(frame) = event {
                        if first.is_empty() {
                            first = String::from_utf8_lossy(frame.bytes()).into_owned();
                        }
                        break;
                    }
                }
                theirs.queue(answer.as_bytes());
            }
            theirs.flush().await.unwrap();
            first
        };
        let client = async {
            let features = begin(&mut ours, "x").await?;
            enter(&mut ours, &features, &wish).await
        };
        let out = tokio::join!(client, server);
        std::fs::remove_dir_all(&folder).unwrap();
        out
    }

    fn success(who: &str, more: &str) -> String {
        format!(
            "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>{who}</authorization-identifier>{more}</success>"
        )
    }

    #[tokio::test]
    async fn a_stream_is_resumed_in_the_login_and_no_features_are_awaited() {
        let resumed = success("a@x", "<resumed xmlns='urn:xmpp:sm:3' previd='old' h='3'/>");
        let (entered, said) = enter_with(&[&resumed], true).await;
        let (full, start) = entered.unwrap();
        assert_eq!((full, start.resumed), (None, Some(3)));
        for part in [
            "previd='old'",
            "h='7'",
            "<tag>liao</tag>",
            "resume='true'",
            "id='d4565fa7",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }

    #[tokio::test]
    async fn what_is_over_is_bound_anew_and_what_is_known_of_it_is_kept() {
        let failed = "<failed xmlns='urn:xmpp:sm:3' h='5'/>";
        let bound = "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='new' resume='1'/></bound>";
        let both = success("a@x/liao/1", &format!("{failed}{bound}")) + NEXT;
        let (full, start) = enter_with(&[&both], true).await.0.unwrap();
        assert_eq!((full.as_deref(), start.had), (Some("a@x/liao/1"), Some(5)));
        assert!(matches!(start.managed, Managing::Enabled(Some(id)) if id == "new"));
        // Who only sends binds in the classic way, on the same stream.
        let iq = "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@x/r</jid></bind></iq>";
        let only = success("a@x", failed) + NEXT;
        let (entered, said) = enter_with(&[&only, iq], false).await;
        let (full, start) = entered.unwrap();
        assert_eq!((full.as_deref(), start.had), (Some("a@x/r"), Some(5)));
        assert!(!said.contains("urn:xmpp:bind:0"), "{said}");
    }

    #[tokio::test]
    async fn other_answers_are_failures_in_words() {
        let other = success("b@x", "") + NEXT;
        let tasks = "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>TOTP</task></tasks></continue>";
        let refused = "<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>";
        let (a, b, c) = (
            enter_with(&[&other], true).await.0.err(),
            enter_with(&[tasks], true).await.0.err(),
            enter_with(&[refused], true).await.0.err(),
        );
        assert!(matches!(a, Some(Failure::Network(why)) if why.contains("somebody else")));
        assert!(matches!(b, Some(Failure::Refused(why)) if why.contains("TOTP")));
        assert!(matches!(c, Some(Failure::NotAuthorized(why)) if why.contains("password")));
    }
}

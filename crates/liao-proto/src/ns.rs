//! Every protocol name in one place: XML namespaces of the RFCs and XEPs in use.

/// RFC 6120 section 4.8.2: content namespace of client streams.
pub const CLIENT: &str = "jabber:client";
/// RFC 6120 section 4.8.2: content namespace of server streams.
pub const SERVER: &str = "jabber:server";
/// XEP-0114: content namespace of streams that components open.
pub const COMPONENT: &str = "jabber:component:accept";
/// RFC 6120 section 4.8.1.
pub const STREAM: &str = "http://etherx.jabber.org/streams";
/// RFC 6120 section 4.9.3: stream error conditions.
pub const STREAMS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// RFC 6120 section 8.3.3: stanza error conditions.
pub const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// RFC 6120 section 5.
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// RFC 6120 section 6.
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// RFC 6120 section 7.
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// RFC 3921 session establishment, offered as optional for old clients.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// RFC 7395 section 3.
pub const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
/// RFC 6121 section 2.
pub const ROSTER: &str = "jabber:iq:roster";
/// RFC 6121 section 2.6.1.
pub const ROSTER_VER: &str = "urn:xmpp:features:rosterver";
/// RFC 6121 section 3.4.
pub const PRE_APPROVAL: &str = "urn:xmpp:features:pre-approval";
/// XEP-0004.
pub const DATA_FORMS: &str = "jabber:x:data";
/// XEP-0030.
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// XEP-0030.
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// XEP-0012.
pub const LAST: &str = "jabber:iq:last";
/// XEP-0049.
pub const PRIVATE: &str = "jabber:iq:private";
/// XEP-0050.
pub const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// XEP-0133: the forms; each command's node is this, `#` and its name.
pub const ADMIN: &str = "http://jabber.org/protocol/admin";
/// XEP-0054.
pub const VCARD: &str = "vcard-temp";
/// XEP-0066 (jabber:x:oob).
pub const OOB: &str = "jabber:x:oob";
/// XEP-0077.
pub const REGISTER: &str = "jabber:iq:register";
/// XEP-0077 stream feature.
pub const REGISTER_FEATURE: &str = "http://jabber.org/features/iq-register";
/// XEP-0085.
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// XEP-0092.
pub const VERSION: &str = "jabber:iq:version";
/// XEP-0115.
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// XEP-0115 section 4: what stands before the hash in this server's own capabilities.
pub const CAPS_NODE: &str = "urn:x-liao:server";
/// XEP-0128 and XEP-0157: extended information about a server.
pub const SERVER_INFO: &str = "http://jabber.org/network/serverinfo";
/// XEP-0160 disco feature.
pub const MSGOFFLINE: &str = "msgoffline";
/// XEP-0172.
pub const NICK: &str = "http://jabber.org/protocol/nick";
/// XEP-0184.
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// XEP-0191.
pub const BLOCKING: &str = "urn:xmpp:blocking";
/// XEP-0191 section 3.3: the condition `<blocked/>`.
pub const BLOCKING_ERRORS: &str = "urn:xmpp:blocking:errors";
/// XEP-0198.
pub const SM: &str = "urn:xmpp:sm:3";
/// XEP-0199.
pub const PING: &str = "urn:xmpp:ping";
/// XEP-0202.
pub const TIME: &str = "urn:xmpp:time";
/// XEP-0203.
pub const DELAY: &str = "urn:xmpp:delay";
/// XEP-0215.
pub const EXTDISCO: &str = "urn:xmpp:extdisco:2";
/// XEP-0224.
pub const ATTENTION: &str = "urn:xmpp:attention:0";
/// XEP-0249.
pub const CONFERENCE: &str = "jabber:x:conference";
/// XEP-0280.
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// XEP-0308.
pub const CORRECT: &str = "urn:xmpp:message-correct:0";
/// XEP-0333.
pub const MARKERS: &str = "urn:xmpp:chat-markers:0";
/// XEP-0334.
pub const HINTS: &str = "urn:xmpp:hints";
/// XEP-0359.
pub const STANZA_ID: &str = "urn:xmpp:sid:0";
/// XEP-0377.
pub const REPORTING: &str = "urn:xmpp:reporting:1";
/// XEP-0386.
pub const BIND2: &str = "urn:xmpp:bind:0";
/// XEP-0388.
pub const SASL2: &str = "urn:xmpp:sasl:2";
/// XEP-0440.
pub const SASL_CB: &str = "urn:xmpp:sasl-cb:0";
/// XEP-0380.
pub const EME: &str = "urn:xmpp:eme:0";
/// XEP-0424.
pub const RETRACT: &str = "urn:xmpp:message-retract:1";
/// XEP-0428.
pub const FALLBACK: &str = "urn:xmpp:fallback:0";
/// XEP-0444.
pub const REACTIONS: &str = "urn:xmpp:reactions:0";
/// XEP-0461.
pub const REPLY: &str = "urn:xmpp:reply:0";
/// XEP-0401 easy user onboarding: the invite command.
pub const INVITE: &str = "urn:xmpp:invite#invite";
/// XEP-0401 section 3.1.2: the form with an invite.
pub const INVITATION: &str = "urn:xmpp:invite#invitation";
/// XEP-0401: create-account command.
pub const CREATE_ACCOUNT: &str = "urn:xmpp:invite#create-account";
/// XEP-0445 pre-authenticated in-band registration.
pub const PREAUTH: &str = "urn:xmpp:pars:0";
/// XEP-0445 stream feature.
pub const IBR_TOKEN: &str = "urn:xmpp:ibr-token:0";
/// XEP-0363.
pub const UPLOAD: &str = "urn:xmpp:http:upload:0";
/// XEP-0363 section "Upload purpose".
pub const UPLOAD_PURPOSE: &str = "urn:xmpp:http:upload:purpose:0";
/// XEP-0447: files with their names and sizes.
pub const FILE_SHARING: &str = "urn:xmpp:sfs:0";
/// XEP-0446: what is known of a file.
pub const FILE_METADATA: &str = "urn:xmpp:file:metadata:0";
/// XEP-0103: where a file is.
pub const URL_DATA: &str = "http://jabber.org/protocol/url-data";
/// XEP-0478.
pub const STREAM_LIMITS: &str = "urn:xmpp:stream-limits:0";
/// XEP-0124: the wrapper.
pub const HTTPBIND: &str = "http://jabber.org/protocol/httpbind";
/// XEP-0206: XMPP's attributes of the wrapper.
pub const XBOSH: &str = "urn:xmpp:xbosh";
/// XEP-0156: BOSH (host-meta link relation).
pub const ALT_BOSH: &str = "urn:xmpp:alt-connections:xbosh";
/// XEP-0156 over HTTP (host-meta link relation).
pub const ALT_WEBSOCKET: &str = "urn:xmpp:alt-connections:websocket";
/// Extensible Resource Descriptor (RFC 6415), for 0156.
pub const XRD: &str = "http://docs.oasis-open.org/ns/xri/xrd-1.0";
/// Namespaces in XML 1.0: bound to `xml`.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Namespaces in XML 1.0: bound to `xmlns`.
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// XEP-0313: message archive.
pub const MAM: &str = "urn:xmpp:mam:2";
/// XEP-0313: its extended form.
pub const MAM_EXTENDED: &str = "urn:xmpp:mam:2#extended";
/// XEP-0059: pages of results.
pub const RSM: &str = "http://jabber.org/protocol/rsm";
/// XEP-0122: validation of form fields.
pub const VALIDATE: &str = "http://jabber.org/protocol/xdata-validate";
/// XEP-0280: the rules of its section 6.1 are kept.
pub const CARBON_RULES: &str = "urn:xmpp:carbons:rules:0";
/// XEP-0297: forwarding.
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// XEP-0352: client state.
pub const CSI: &str = "urn:xmpp:csi:0";
/// XEP-0045: what a room says of somebody.
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// The names that are met all the time; a declaration of one of these needs no allocation.
pub const KNOWN: &[&str] = &[
    CLIENT,
    STREAM,
    STREAMS,
    STANZAS,
    TLS,
    SASL,
    BIND,
    SESSION,
    FRAMING,
    ROSTER,
    DISCO_INFO,
    DISCO_ITEMS,
    COMMANDS,
    DATA_FORMS,
    OOB,
    REGISTER,
    CHAT_STATES,
    VERSION,
    CAPS,
    NICK,
    RECEIPTS,
    SM,
    PING,
    DELAY,
    ATTENTION,
    CONFERENCE,
    MARKERS,
    HINTS,
    STANZA_ID,
    CARBONS,
    FORWARD,
    MAM,
    RSM,
    CSI,
    PREAUTH,
    SERVER,
];

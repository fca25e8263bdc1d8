//! HTTP File Upload (XEP-0363) at `upload.DOMAIN`: discovery, and slots for this server's accounts.

use crate::engines::roster::set;
use crate::engines::uploads::{Policy, Uploads};
use crate::server::{Server, is_local};
use crate::services::Service;
use liao_proto::jid::{BareJid, Jid};
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::{ErrorKind, Kind, Stanza};
use liao_proto::xep::upload::{Purpose, Refusal, Request, percent, slot};
use std::sync::Arc;

const NAME: &str = "HTTP File Upload";

/// The service.
pub struct Upload {
    address: BareJid,
    uploads: Arc<Uploads>,
}

impl Service for Upload {
    fn addresses(&self, domain: &str) -> bool {
        domain == self.address.as_str()
    }

    fn item(&self) -> (String, &'static str) {
        (self.address.to_string(), NAME)
    }

    fn handle(&self, server: &Server, stanza: Stanza) -> Vec<Stanza> {
        let answer = match stanza.kind {
            _ if stanza.is_answer() => None,
            Kind::Presence => None,
            Kind::Message => Some(stanza.error(&ErrorKind::SERVICE_UNAVAILABLE)),
            Kind::Iq => self.iq(server, stanza),
        };
        answer.into_iter().collect()
    }

    fn account_removed(&self, bare: &BareJid) {
        let (uploads, bare) = (self.uploads.clone(), bare.clone());
        tokio::spawn(async move {
            if let Err(error) = uploads.forget(&bare).await {
                tracing::error!(%bare, %error, "the files of a removed account are still here");
            }
        });
    }
}

impl Upload {
    /// At `upload.DOMAIN`.
    pub fn new(domain: &BareJid, uploads: Arc<Uploads>) -> Option<Upload> {
        let address = BareJid::new(&format!("upload.{domain}")).ok()?;
        Some(Upload { address, uploads })
    }

    fn iq(&self, server: &Server, iq: Stanza) -> Option<Stanza> {
        let get = iq.type_.as_deref() == Some("get");
        let child = iq.children().first().filter(|_| get);
        let here = iq.to.as_ref().is_some_and(|to| to.node().is_none());
        let known = child.filter(|_| here).map(|c| (c.name.as_str(), &*c.ns));
        match known {
            Some(("query", ns::DISCO_INFO)) => Some(self.info(server, &iq)),
            Some(("query", ns::DISCO_ITEMS)) => {
                Some(iq.result().child(&Element::bare("query", ns::DISCO_ITEMS)))
            }
            Some(("request", ns::UPLOAD)) => self.request(server, iq),
            _ => Some(iq.error(&ErrorKind::SERVICE_UNAVAILABLE)),
        }
    }

    /// Section "Discovering Support"; XEP-0128 for the largest size.
    fn info(&self, server: &Server, iq: &Stanza) -> Stanza {
        if iq
            .get("query", ns::DISCO_INFO)
            .is_some_and(|q| q.attr("node").is_some_and(|n| !n.is_empty()))
        {
            return iq.error(&ErrorKind::ITEM_NOT_FOUND);
        }
        let mut query = Element::bare("query", ns::DISCO_INFO);
        let mut identity = Element::bare("identity", ns::DISCO_INFO);
        for (name, value) in [("category", "store"), ("type", "file"), ("name", NAME)] {
            set(&mut identity, name, value);
        }
        query.append_child(identity);
        let purposes = Purpose::NAMES.map(|n| format!("{}#{n}", ns::UPLOAD_PURPOSE));
        let features = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::UPLOAD].map(str::to_owned);
        for var in features.into_iter().chain(purposes) {
            let mut feature = Element::bare("feature", ns::DISCO_INFO);
            set(&mut feature, "var", &var);
            query.append_child(feature);
        }
        let mut form = Element::bare("x", ns::DATA_FORMS);
        set(&mut form, "type", "result");
        let max = Policy::of(&server.config()).max_file.to_string();
        for (var, type_, text) in [
            ("FORM_TYPE", "hidden", ns::UPLOAD),
            ("max-file-size", "", max.as_str()),
        ] {
            let mut field = Element::bare("field", ns::DATA_FORMS);
            set(&mut field, "var", var);
            if !type_.is_empty() {
                set(&mut field, "type", type_);
            }
            let mut value = Element::bare("value", ns::DATA_FORMS);
            value.append_text(text);
            field.append_child(value);
            form.append_child(field);
        }
        query.append_child(form);
        iq.result().child(&query)
    }

    /// Section "Requesting a slot". The answer waits for the store and so comes later.
    fn request(&self, server: &Server, iq: Stanza) -> Option<Stanza> {
        let from = iq.from.as_ref().filter(|f| is_local(server, f));
        let Some(owner) = from.filter(|f| f.node().is_some()).map(Jid::to_bare) else {
            let kind = ErrorKind::FORBIDDEN.with_text("only accounts of this server upload files");
            return Some(iq.error(&kind));
        };
        let request = iq
            .get("request", ns::UPLOAD)
            .ok_or(ErrorKind::BAD_REQUEST)
            .and_then(|e| Request::read(&e));
        let request = match request {
            Ok(request) => request,
            Err(kind) => return Some(iq.error(&kind)),
        };
        let (Some(server), Some(link)) = (server.arc(), server.link.get().cloned()) else {
            let kind = ErrorKind::SERVICE_UNAVAILABLE.with_text("there is no HTTPS here");
            return Some(iq.error(&kind));
        };
        let policy = Policy::of(&server.config());
        let uploads = self.uploads.clone();
        tokio::spawn(async move {
            let answer = match uploads.slot(&owner, request, policy).await {
                Ok(issued) => {
                    let name = percent(&issued.name);
                    let url = format!("https://{link}/upload/{}/{name}", issued.id);
                    slot(&iq, &url, &format!("Bearer {}", issued.token))
                }
                Err(refused) => refusal(&owner, &refused, &iq),
            };
            server.route(answer, None);
        });
        None
    }
}

fn refusal(owner: &BareJid, refused: &Refusal, iq: &Stanza) -> Stanza {
    tracing::debug!(%owner, ?refused, "no slot for a file");
    refused.answer(iq)
}

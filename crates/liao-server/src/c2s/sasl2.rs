//! SASL2: login, resumption and binding in one go (XEP-0388; XEP-0198 section 9; XEP-0386 section 3).

use super::bind::Bound;
use super::{Connection, Stop, features};
use crate::session::Around;
use liao_proto::jid::BareJid;
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::sasl::Profile;
use liao_proto::xml::{Frame, escape};

const PROFILE: Profile = Profile::Sasl2;

/// `<authenticate/>` (section 2.3).
struct Request {
    mechanism: String,
    initial: String,
    /// The id of `<user-agent/>`, in lower case.
    agent: Option<String>,
    resume: Option<Element>,
    bind: Option<Element>,
}

impl Request {
    /// `None`: its form is wrong.
    fn parse(frame: &Frame) -> Option<Request> {
        let request = frame.to_dom()?;
        let of = |name, ns| request.get_child(name, ns);
        let agent = of("user-agent", ns::SASL2).and_then(|a| a.attr("id"));
        if agent.is_some_and(|id| !is_uuid(id)) {
            return None;
        }
        let initial = of("initial-response", ns::SASL2).map(Element::text);
        Some(Request {
            mechanism: request.attr("mechanism")?.to_owned(),
            initial: initial.unwrap_or_default(),
            agent: agent.map(str::to_lowercase),
            resume: of("resume", ns::SM).cloned(),
            bind: of("bind", ns::BIND2).cloned(),
        })
    }
}

/// `Uuid` of the schema, section 8.
fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths = parts.iter().map(|p| p.len());
    lengths.eq([8, 4, 4, 4, 12]) && parts.concat().bytes().all(|b| b.is_ascii_hexdigit())
}

/// Section 2.6.1: up to the results of what was asked for inline, and the end.
fn success(data: &[u8], who: &str) -> Around {
    let data = match data {
        [] => String::new(),
        data => format!(
            "<additional-data>{}</additional-data>",
            PROFILE.encode(data)
        ),
    };
    Around {
        before: format!(
            "<success xmlns='{}'>{data}<authorization-identifier>{}</authorization-identifier>",
            ns::SASL2,
            escape(who)
        ),
        after: "</success>".to_owned(),
    }
}

impl Connection {
    /// Sections 2.3 to 2.6.
    pub(super) async fn authenticate2(&mut self, frame: &Frame) -> Result<Option<Bound>, Stop> {
        // Section 4.8.
        if self.user.is_some() {
            return Err(Stop::Error("policy-violation", "logged in already"));
        }
        if self.mechanisms(PROFILE).is_empty() {
            return self.refuse(PROFILE, "encryption-required");
        }
        let Some(request) = Request::parse(frame) else {
            return self.refuse(PROFILE, "malformed-request");
        };
        let login = self.exchange(PROFILE, &request.mechanism, request.initial);
        let Some(login) = login.await? else {
            return Ok(None);
        };
        self.let_in(login.user.clone());
        // XEP-0198 section 9.2: first of all, and if it succeeds nothing else.
        let failed = match request.resume {
            Some(resume) => {
                let around = success(&login.data, login.user.as_str());
                let h = resume.attr("h").and_then(|h| h.parse().ok());
                let previous = resume.attr("previd").unwrap_or_default();
                self.resume(&login.user, previous, h, around).await?
            }
            None => String::new(),
        };
        let bound = match &request.bind {
            Some(bind) => self.bind2(&login.user, bind, request.agent).await?,
            None => None,
        };
        Ok(self.succeed(&login.user, &login.data, &failed, bound))
    }

    /// There is no new stream; its features come at once (section 2.6.1).
    fn succeed(
        &mut self,
        user: &BareJid,
        data: &[u8],
        failed: &str,
        bound: Option<(Bound, String)>,
    ) -> Option<Bound> {
        let Some((mut bound, answers)) = bound else {
            let Around { before, after } = success(data, user.as_str());
            let next = features::to_bind(&self.server);
            self.wire
                .queue(format!("{before}{failed}{after}").as_bytes());
            self.wire.queue(next.as_bytes());
            return None;
        };
        let Around { before, after } = success(data, bound.full.as_str());
        bound.start.around = Around {
            before: format!("{before}{failed}<bound xmlns='{}'>", ns::BIND2),
            after: format!("{answers}</bound>{after}"),
        };
        bound.start.features = features::bound(&self.server, bound.start.enable.is_some());
        Some(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_names_itself_by_a_uuid() {
        for good in [
            "d4565fa7-4d72-4749-b3d3-740edbf87770",
            "D4565FA7-4D72-4749-B3D3-740EDBF87770",
        ] {
            assert!(is_uuid(good));
        }
        for bad in [
            "",
            "d4565fa7",
            "d4565fa7-4d72-4749-b3d3-740edbf8777",
            "d4565fa7-4d72-4749-b3d3-740edbf8777g",
            "d4565fa74d72-4749-b3d3-740edbf87770-",
            "{d4565fa7-4d72-4749-b3d3-740edbf87770}",
        ] {
            assert!(!is_uuid(bad), "{bad}");
        }
    }
}

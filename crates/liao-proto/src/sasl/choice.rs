//! A client's choice of mechanism and channel binding (RFC 5802 section 6, XEP-0440 section 3).

use super::{Binding, BindingType, Channel, Mechanism};

/// Why a client stops before it begins. Each of these may be somebody who changes the server's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// None of the mechanisms is ours.
    #[error("no known way to log in")]
    Mechanism,
    /// Mechanisms for channel binding without types, or types without mechanisms (XEP-0440 rules 4 and 5).
    #[error(
        "the server's offer contradicts itself about channel binding; somebody may be listening in"
    )]
    Contradiction,
    /// No type that we know, and not the one that every server must have (XEP-0440 rule 6).
    #[error("the server offers no usable channel binding; somebody may be listening in")]
    Binding,
}

/// What a server offers.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// Names of mechanisms.
    pub mechanisms: &'a [String],
    /// Types of channel binding that it announced; empty: none.
    pub types: &'a [String],
    /// By SASL2 (XEP-0388), where XEP-0440 is obligatory.
    pub sasl2: bool,
}

impl Offer<'_> {
    /// The best that both sides can do. `own` is what this side sees of the connection, the strongest first; empty:
    /// it sees nothing, as under a WebSocket. PLAIN is taken only where `plain` allows it.
    pub fn choose(
        &self,
        own: &[Binding],
        plain: bool,
    ) -> Result<(Mechanism, Channel), ChoiceError> {
        let bound = self.mechanisms.iter().any(|m| m.ends_with("-PLUS"));
        let without = |channel| {
            let best = self.best(|m| !m.is_plus() && (plain || m != Mechanism::Plain));
            Ok((best.ok_or(ChoiceError::Mechanism)?, channel))
        };
        let known = |kind: BindingType| self.types.iter().any(|t| t == kind.name());
        let kind = match (bound, self.types.is_empty()) {
            _ if own.is_empty() => return without(Channel::Unsupported),
            (false, true) => return without(Channel::Unoffered),
            (false, false) => return Err(ChoiceError::Contradiction),
            (true, true) if self.sasl2 => return Err(ChoiceError::Contradiction),
            // Undefined in the classic profile (rule 4). Older servers announce nothing and know only tls-unique, which
            // TLS 1.3 does not have: a guess would lock people out.
            (true, true) => return without(Channel::Unsupported),
            (true, false) => own.iter().find(|b| known(b.kind)),
        };
        match (kind, self.best(Mechanism::is_plus)) {
            (Some(binding), Some(mechanism)) => Ok((mechanism, Channel::Bound(binding.clone()))),
            (None, _) if !known(BindingType::TlsServerEndPoint) => Err(ChoiceError::Binding),
            _ => without(Channel::Unsupported),
        }
    }

    fn best(&self, fits: impl Fn(Mechanism) -> bool) -> Option<Mechanism> {
        let names = self.mechanisms.iter();
        let known = names.filter_map(|name| Mechanism::parse(name));
        known.filter(|m| fits(*m)).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_rules_of_xep_0440_section_3() {
        let end_point = Binding {
            kind: BindingType::TlsServerEndPoint,
            data: vec![1],
        };
        let exporter = Binding {
            kind: BindingType::TlsExporter,
            data: vec![2],
        };
        let both = [exporter.clone(), end_point.clone()];
        let choose = |mechanisms: &str, types: &str, sasl2: bool, own: &[Binding]| {
            let (mechanisms, types) = (list(mechanisms), list(types));
            let offer = Offer {
                mechanisms: &mechanisms,
                types: &types,
                sasl2,
            };
            let chosen = offer.choose(own, true)?;
            Ok::<_, ChoiceError>((chosen.0.name(), chosen.1))
        };
        let (plain, plus) = ("SCRAM-SHA-256 PLAIN", "SCRAM-SHA-1 SCRAM-SHA-1-PLUS PLAIN");
        let all = "tls-server-end-point tls-exporter";
        use Channel::{Bound, Unoffered, Unsupported};
        let sha1 = |binding: &Binding| Ok(("SCRAM-SHA-1-PLUS", Bound(binding.clone())));
        for sasl2 in [true, false] {
            // Rules 3, 7, 2, 1, 5 and 6.
            assert_eq!(
                choose(plain, "", sasl2, &both),
                Ok(("SCRAM-SHA-256", Unoffered))
            );
            assert_eq!(choose(plus, all, sasl2, &both), sha1(&exporter));
            assert_eq!(
                choose(plus, all, sasl2, &[]),
                Ok(("SCRAM-SHA-1", Unsupported))
            );
            assert_eq!(
                choose(plus, "tls-server-end-point x", sasl2, &both),
                sha1(&end_point)
            );
            assert_eq!(
                choose(plain, all, sasl2, &both),
                Err(ChoiceError::Contradiction)
            );
            assert_eq!(
                choose(plus, "tls-unique", sasl2, &both),
                Err(ChoiceError::Binding)
            );
            assert_eq!(choose("X Y", "", sasl2, &both), Err(ChoiceError::Mechanism));
        }
        // Rule 4.
        assert_eq!(
            choose(plus, "", true, &both),
            Err(ChoiceError::Contradiction)
        );
        let classic = choose(plus, "", false, &both);
        assert_eq!(classic, Ok(("SCRAM-SHA-1", Unsupported)));
        // The type is there, but this certificate has none (RFC 5929 section 4.1, a hash that is undefined).
        let none = choose(plus, "tls-server-end-point", true, &both[..1]);
        assert_eq!(none, Ok(("SCRAM-SHA-1", Unsupported)));
        let no_plain = list("PLAIN");
        let offer = Offer {
            mechanisms: &no_plain,
            types: &[],
            sasl2: false,
        };
        assert_eq!(offer.choose(&[], false), Err(ChoiceError::Mechanism));
    }
}

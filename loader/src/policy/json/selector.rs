//! What a rule matches, from JSON.

use super::{
    super::{
        address::Addresses,
        model::{Direction, Endpoint, IcmpType, PortRange, Protocol, Selector},
        statement::{DIRECTIONS, SelectorSite},
        value::ListSite,
    },
    reader::Reader,
    value::{Fields, Value},
};

/// Keys of a selector.
pub(super) const SELECTOR: [&str; 6] = ["direction", "protocol", "from", "to", "icmp", "iface"];

/// What is wrong is reported, and has a stand-in.
pub(super) fn selector(fields: &Fields<'_>, reader: &mut Reader<'_, '_>) -> (Selector, SelectorSite) {
    let direction = reader.required(fields, "direction").and_then(|v| reader.choice(v, "a direction", DIRECTIONS));
    let at = reader.required(fields, "protocol");
    let protocol = at.and_then(|at| reader.string(at, "a protocol", |line| line.protocol(true)));
    let mut side = |key| match fields.get(key) {
        Some(value) => endpoint(value, protocol, reader),
        None => (Endpoint::default(), ListSite::default()),
    };
    let ((from, from_site), (to, to_site)) = (side("from"), side("to"));
    let icmp = fields.unless_null("icmp").and_then(|value| icmp(value, protocol, reader));
    let interface =
        fields.unless_null("iface").and_then(|value| reader.string(value, "an interface", |line| line.interface()));
    let selector = Selector {
        direction: direction.unwrap_or(Direction::Both),
        protocol: protocol.unwrap_or(Protocol::Any),
        from,
        to,
        icmp,
        interface,
    };
    let protocol = at.map(Value::span).unwrap_or_default();
    (selector, SelectorSite { protocol, from: from_site, to: to_site })
}

fn endpoint(value: Value<'_>, protocol: Option<Protocol>, reader: &mut Reader<'_, '_>) -> (Endpoint, ListSite) {
    let (mut endpoint, mut site) = (Endpoint::default(), ListSite::default());
    let Some(fields) = reader.object(value, "a side of the rule", &["addresses", "ports"]) else {
        return (endpoint, site);
    };
    if let Some(value) = fields.get("addresses") {
        endpoint.addresses = addresses(value, &mut site, reader);
    }
    let ports = fields.get("ports").map(|value| reader.array(value, "a list of ports")).unwrap_or_default();
    if let Some(first) = ports.first()
        && let Some(protocol) = protocol.filter(|protocol| !protocol.has_ports())
    {
        let message = format!("protocol `{}` has no ports", protocol.name());
        reader.wrong(*first, message, "needs `tcp`, `udp` or `sctp`", None);
    }
    endpoint.ports = ports.into_iter().filter_map(|value| port(value, reader)).collect();
    (endpoint, site)
}

fn addresses(value: Value<'_>, site: &mut ListSite, reader: &mut Reader<'_, '_>) -> Addresses {
    let elements = reader.array(value, "a list of addresses");
    if let [only] = elements[..]
        && only.is_string("any")
    {
        return Addresses::Any;
    }
    if elements.is_empty() && value.is_array() {
        let help = "leave the key out, or write `[\"any\"]`".to_owned();
        reader.wrong(value, "no address can match", "expected one address at least", Some(help));
    }
    let mut list = Vec::with_capacity(elements.len());
    for element in elements {
        if let Some((address, _)) = reader.string(element, "an address", |line| line.address()) {
            site.add(list.len(), &address, element.span());
            list.push(address);
        }
    }
    Addresses::List(list)
}

fn port(value: Value<'_>, reader: &mut Reader<'_, '_>) -> Option<PortRange> {
    let fields = reader.object(value, "a range of ports", &["first", "last"])?;
    let first = reader.required(&fields, "first").and_then(|value| reader.number(value, 0, u16::MAX));
    let last = reader.required(&fields, "last").and_then(|value| reader.number(value, 0, u16::MAX));
    let (first, last) = (first?, last?);
    if first > last {
        reader.wrong(value, format!("the range {first} to {last} is empty"), "expected the lower port first", None);
        return None;
    }
    Some(PortRange { first, last })
}

fn icmp(value: Value<'_>, protocol: Option<Protocol>, reader: &mut Reader<'_, '_>) -> Option<IcmpType> {
    let fields = reader.object(value, "an ICMP type", &["type", "code"])?;
    if let Some(protocol) = protocol.filter(|protocol| !matches!(protocol, Protocol::Icmp | Protocol::Icmpv6)) {
        let message = format!("protocol `{}` has no types", protocol.name());
        reader.wrong(value, message, "needs `icmp` or `icmpv6`", None);
    }
    let number = reader.required(&fields, "type").and_then(|value| reader.number(value, 0, u8::MAX));
    let code = fields.unless_null("code").and_then(|value| reader.number(value, 0, u8::MAX));
    Some(IcmpType { number: number?, code })
}

//! I1 to I3: trusted proxies and forwarding headers.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, HeaderValue, Request};
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use ForwardedHeader::{Forwarded, XForwardedFor};

const PROXY: &str = "10.0.0.1";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn proxies() -> TrustedProxies {
    TrustedProxies::parse(["10.0.0.0/8", "2001:db8:a::/48"]).expect("ranges")
}

fn headers(header: ForwardedHeader, lines: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(header.name(), HeaderValue::from_bytes(line).expect("a header's value"));
    }
    headers
}

/// Resolves the client for these header lines from the proxy 10.0.0.1; `peer` if the proxy itself
/// is the result because no address was found.
fn behind_proxy(header: ForwardedHeader, lines: &[&str]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
    let found = resolve(&proxies(), header, Some(ip(PROXY)), &headers(header, &lines));
    match found.evidence {
        Evidence::Malformed => {
            assert_eq!(found.address, Some(ClientAddress::new(ip(PROXY))));
            "peer".to_owned()
        }
        _ => found.address.expect("known").to_string(),
    }
}

/// I1
#[test]
fn forwarding_headers_are_ignored_by_default() {
    let mut forged = HeaderMap::new();
    for name in ["x-forwarded-for", "x-real-ip", "true-client-ip", "client-ip", "cf-connecting-ip"]
    {
        forged.insert(name, HeaderValue::from_static("192.0.2.7"));
    }
    forged.insert("forwarded", HeaderValue::from_static("for=192.0.2.7"));
    for header in [XForwardedFor, Forwarded] {
        for peer in ["203.0.113.9", "127.0.0.1", "::1", "10.0.0.1"] {
            let found = resolve(&TrustedProxies::none(), header, Some(ip(peer)), &forged);
            assert_eq!(found.address.expect("the peer").ip(), ip(peer));
            assert_eq!(found.evidence, Evidence::Untrusted);
        }
    }
}

/// I1
#[test]
fn an_untrusted_peer_is_the_client() {
    let forged = headers(XForwardedFor, &[b"10.0.0.2"]);
    let found = resolve(&proxies(), XForwardedFor, Some(ip("203.0.113.9")), &forged);
    assert_eq!(found.address.expect("the peer").ip(), ip("203.0.113.9"));
    assert_eq!(found.evidence, Evidence::Untrusted);
}

/// I1
#[test]
fn without_a_peer_the_header_is_ignored() {
    let found = resolve(&proxies(), XForwardedFor, None, &headers(XForwardedFor, &[b"192.0.2.7"]));
    assert_eq!((found.address, found.evidence), (None, Evidence::Untrusted));
    let found = resolve(&proxies(), XForwardedFor, None, &HeaderMap::new());
    assert_eq!((found.address, found.evidence), (None, Evidence::Peer));
}

/// I2
#[test]
fn the_header_that_is_not_configured_is_ignored() {
    let peer = Some(ip(PROXY));
    let other = headers(Forwarded, &[b"for=192.0.2.7"]);
    let found = resolve(&proxies(), XForwardedFor, peer, &other);
    assert_eq!(found.address.expect("the peer").ip(), ip(PROXY));
    assert_eq!(found.evidence, Evidence::Peer);
}

/// I2
#[test]
fn x_forwarded_for_is_read_from_the_right_to_the_first_untrusted_address() {
    for (lines, client) in [
        (&["192.0.2.7"][..], "192.0.2.7"),
        (&["1.1.1.1, 192.0.2.7"], "192.0.2.7"),
        (&["1.1.1.1, 192.0.2.7, 10.9.9.9, 10.0.0.2"], "192.0.2.7"),
        (&["1.1.1.1", "192.0.2.7", "10.0.0.2"], "192.0.2.7"),
        (&["192.0.2.7", "10.0.0.2,10.0.0.3"], "192.0.2.7"),
        (&["1.1.1.1,192.0.2.7"], "192.0.2.7"),
        // If all are proxies, the farthest one is the client.
        (&["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
        // Elements left of the client are never parsed.
        (&["not an address, 192.0.2.7"], "192.0.2.7"),
        (&["\"", "192.0.2.7, 10.0.0.2"], "192.0.2.7"),
        (&["1.1.1.1, unknown, 192.0.2.7"], "192.0.2.7"),
        // Empty elements are ignored (RFC 9110 §5.6.1).
        (&["192.0.2.7, , ,10.0.0.2,"], "192.0.2.7"),
        (&["", " "], PROXY),
        (&[",,,"], PROXY),
    ] {
        assert_eq!(behind_proxy(XForwardedFor, lines), client, "{lines:?}");
    }
}

/// I2
#[test]
fn x_forwarded_for_may_carry_ports_brackets_and_quotes() {
    for (element, client) in [
        ("192.0.2.7:4711", "192.0.2.7"),
        ("192.0.2.7:_hidden", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("\"[2001:db8::7]:4711\"", "2001:db8::7"),
        ("\"192.0.2.7\"", "192.0.2.7"),
        ("2001:DB8:0:0::7", "2001:db8::7"),
        ("\t192.0.2.7 ", "192.0.2.7"),
    ] {
        assert_eq!(behind_proxy(XForwardedFor, &[element]), client, "{element}");
    }
}

/// I2
#[test]
fn an_ipv4_mapped_address_is_the_ipv4_address() {
    for mapped in ["::ffff:192.0.2.7", "::ffff:c000:207", "[::ffff:192.0.2.7]:1"] {
        assert_eq!(behind_proxy(XForwardedFor, &[mapped]), "192.0.2.7");
    }
    // The same for proxies: in the header, and as the peer of a dual-stack socket.
    assert_eq!(behind_proxy(XForwardedFor, &["192.0.2.7, ::ffff:10.0.0.2"]), "192.0.2.7");
    // B6: NAT64 too.
    for nat64 in ["64:ff9b::192.0.2.7", "64:ff9b::c000:207", "[64:ff9b::c000:207]:1"] {
        assert_eq!(behind_proxy(XForwardedFor, &[nat64]), "192.0.2.7");
    }
    assert_eq!(behind_proxy(XForwardedFor, &["192.0.2.7, 64:ff9b::10.0.0.2"]), "192.0.2.7");
    let sent = headers(XForwardedFor, &[b"192.0.2.7"]);
    let found = resolve(&proxies(), XForwardedFor, Some(ip("::ffff:10.0.0.1")), &sent);
    assert_eq!(found.address.expect("known").ip(), ip("192.0.2.7"));
    let found = resolve(&proxies(), XForwardedFor, Some(ip("::ffff:203.0.113.9")), &sent);
    assert_eq!(found.address.expect("known").ip(), ip("203.0.113.9"));
}

/// I2, I3
#[test]
fn an_unparsable_element_resolves_to_the_peer() {
    for bad in [
        "unknown",
        "_hidden",
        "localhost",
        "example.com",
        "example.com:80",
        "192.0.2",
        "192.0.2.7.8",
        "192.0.2.256",
        "192.0.02.7",
        "0xc0000207",
        "3221225991",
        "192.0.2.7:",
        "192.0.2.7:123456",
        "192.0.2.7:8o",
        "192.0.2.7:_",
        "192.0.2.7:_a b",
        "192.0.2.7 10.0.0.1",
        "192.0.2.7;10.0.0.1",
        "192.0.2.7/32",
        "[192.0.2.7]",
        "[2001:db8::7",
        "2001:db8::7]",
        "[2001:db8::7]4711",
        "[2001:db8::7]:",
        "[]",
        "fe80::1%eth0",
        "[fe80::1%25eth0]:80",
        "\"192.0.2.7",
        "\"\"",
        "\"",
        "for=192.0.2.7",
        "-",
    ] {
        assert_eq!(behind_proxy(XForwardedFor, &[bad]), "peer", "{bad}");
        let reached = format!("192.0.2.7, {bad}, 10.0.0.2");
        assert_eq!(behind_proxy(XForwardedFor, &[&reached]), "peer", "{reached}");
        let not_reached = format!("{bad}, 192.0.2.7, 10.0.0.2");
        assert_eq!(behind_proxy(XForwardedFor, &[&not_reached]), "192.0.2.7", "{not_reached}");
    }
}

/// I2
#[test]
fn non_ascii_bytes_matter_only_if_reached() {
    let peer = Some(ip(PROXY));
    let left = headers(XForwardedFor, &[b"\xff\xfe, 192.0.2.7"]);
    let found = resolve(&proxies(), XForwardedFor, peer, &left);
    assert_eq!(found.address.expect("known").ip(), ip("192.0.2.7"));
    for reached in [&b"192.0.2.7, \xff"[..], b"192.0.2.\xd9\xa7", b"\xef\xbc\x91.1.1.1"] {
        let found = resolve(&proxies(), XForwardedFor, peer, &headers(XForwardedFor, &[reached]));
        assert_eq!(found.evidence, Evidence::Malformed);
    }
}

/// I2
#[test]
fn forwarded_is_parsed_per_rfc_7239() {
    for (lines, client) in [
        (&["for=192.0.2.7"][..], "192.0.2.7"),
        (&["For=\"[2001:db8::7]:4711\""], "2001:db8::7"),
        (&["for=192.0.2.7;proto=http;by=203.0.113.43"], "192.0.2.7"),
        (&["by=203.0.113.43;proto=https;FOR=192.0.2.7;host=\"a,b;for=1.1.1.1\""], "192.0.2.7"),
        (&["for=1.1.1.1, for=192.0.2.7, for=10.0.0.2"], "192.0.2.7"),
        (&["for=1.1.1.1", "for=192.0.2.7", "for=10.0.0.2"], "192.0.2.7"),
        (&["for=\"192.0.2.7:_port\""], "192.0.2.7"),
        (&["for=\"192\\.0.2.7\""], "192.0.2.7"),
        (&["for=192.0.2.7; proto=http ;; secret=\"q\\\"q\""], "192.0.2.7"),
        (&["for=192.0.2.7:4711"], "192.0.2.7"),
        (&["for=[2001:db8::7]"], "2001:db8::7"),
        (&["for=192.0.2.7, for=\"[2001:db8:a::1]\";host=\"x,y\""], "192.0.2.7"),
        (&[""], PROXY),
    ] {
        assert_eq!(behind_proxy(Forwarded, lines), client, "{lines:?}");
    }
}

/// I2
#[test]
fn an_unclosed_quote_of_the_client_does_not_hide_appended_elements() {
    for forged in [
        "for=\"1.1.1.1",
        "for=1.1.1.1;host=\"",
        "\"",
        "\"\"\"",
        "for=\"1.1.1.1\\",
        "for=\"1.1.1.1\\\"",
        "\\",
        "host=\"a\\\\\\\"",
        "for=1.1.1.1;;;=",
        "\u{e4}",
    ] {
        let line = format!("{forged}, for=192.0.2.7, for=\"[2001:db8:a::1]:443\"");
        assert_eq!(behind_proxy(Forwarded, &[&line]), "192.0.2.7", "{line}");
        assert_eq!(behind_proxy(Forwarded, &[forged, "for=192.0.2.7"]), "192.0.2.7", "{forged}");
    }
}

/// I2, I3
#[test]
fn a_forwarded_element_without_an_address_resolves_to_the_peer() {
    for bad in [
        "for=unknown",
        "for=\"unknown\"",
        "for=_hidden",
        "for=\"_SEVKISEK\"",
        "for=example.com",
        "for=",
        "for=\"\"",
        "for",
        "192.0.2.7",
        "by=192.0.2.7",
        "proto=http",
        "for=192.0.2.7;for=192.0.2.8",
        "for=192.0.2.7;FOR=192.0.2.7",
        "for = 192.0.2.7",
        "for= 192.0.2.7",
        "for=\"2001:db8::7\"",
        "for=2001:db8::7",
        "for=\"192.0.2.7",
        "for=192.0.2.7\"",
        "for=\"192.0.2.7\"x",
        "for=\"192.0.2.7\\\"",
        "for=192.0.2.7 proto=http",
        "x for=192.0.2.7",
        "for=192.0.2.7;proto",
    ] {
        assert_eq!(behind_proxy(Forwarded, &[bad]), "peer", "{bad}");
        let not_reached = format!("{bad}, for=192.0.2.7");
        assert_eq!(behind_proxy(Forwarded, &[&not_reached]), "192.0.2.7", "{not_reached}");
    }
}

/// I3
#[test]
fn a_range_of_all_addresses_is_rejected() {
    for all in [
        "0.0.0.0/0",
        "10.0.0.1/0",
        "::/0",
        "2001:db8::/0",
        "::ffff:0:0/96",
        "::ffff:10.0.0.1/96",
        "::ffff:0.0.0.0/96",
        "::ffff:10.0.0.1/0",
        "::ffff:0:0/80",
        "64:ff9b::/96",
        "64:ff9b::10.0.0.1/96",
        "64:ff9b::/95",
        "64:ff9b::/32",
        "64::/16",
        "::/1",
    ] {
        let error = TrustedProxies::parse([all]).expect_err(all);
        assert_eq!(error.to_string(), format!("trusted proxy {all:?} would trust every address"));
        assert!(TrustedProxies::parse(["10.0.0.0/8", all]).is_err());
    }
}

/// I3
#[test]
fn malformed_ranges_are_rejected() {
    for bad in [
        "",
        "proxy",
        "example.com/8",
        "10.0.0.0/33",
        "2001:db8::/129",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "10.0.0.0/08",
        "10.0.0.0/8/8",
        "10.0.0.0/255.0.0.0",
        "10.0.0/8",
        "/8",
        "10.0.0.0 /8",
        "[::1]",
        "10.0.0.0/-1",
        "10.0.0.0/256",
        "10.0.0.0/264",
        "10.0.0.0/\u{661}",
    ] {
        let error = TrustedProxies::parse([bad]).expect_err(bad).to_string();
        assert_eq!(
            error,
            format!("trusted proxy {bad:?} is neither an IP address nor a CIDR range")
        );
    }
    assert!("10.0.0.0/8,,::1".parse::<TrustedProxies>().is_err());
}

#[test]
fn a_range_contains_the_addresses_of_its_prefix() {
    let list =
        "10.1.2.3/8, 192.0.2.128/25, 203.0.113.9, 2001:db8::/33, ::1, ::ffff:198.51.100.0/120";
    let proxies: TrustedProxies = list.parse().expect("ranges");
    assert_eq!(
        proxies.to_string(),
        "10.0.0.0/8, 192.0.2.128/25, 203.0.113.9/32, 2001:db8::/33, ::1/128, 198.51.100.0/24"
    );
    assert_eq!(proxies.to_string().parse::<TrustedProxies>(), Ok(proxies.clone()));
    for inside in [
        "10.0.0.0",
        "10.255.255.255",
        "192.0.2.128",
        "203.0.113.9",
        "2001:db8:7fff::1",
        "::1",
        "198.51.100.77",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
    ] {
        assert!(proxies.contains(ip(inside)), "{inside}");
    }
    for outside in [
        "9.255.255.255",
        "11.0.0.0",
        "192.0.2.127",
        "203.0.113.8",
        "2001:db8:8000::",
        "::2",
        "198.51.101.0",
        "::10.0.0.1",
        "::ffff:11.0.0.1",
    ] {
        assert!(!proxies.contains(ip(outside)), "{outside}");
    }
    assert!("".parse::<TrustedProxies>().expect("an empty list").is_empty());
    assert_eq!(TrustedProxies::none().to_string(), "");
}

async fn client_of(layer: &ClientAddressLayer, request: Request<()>) -> Option<String> {
    let service = layer.layer(service_fn(async |request: Request<()>| {
        Ok::<_, Infallible>(ClientAddress::of(request.extensions()))
    }));
    service.oneshot(request).await.expect("infallible").map(|client| client.to_string())
}

fn request(peer: &str, forwarded_for: Option<&'static str>) -> Request<()> {
    let mut request = Request::new(());
    request.extensions_mut().insert(PeerAddress(SocketAddr::new(ip(peer), 4711)));
    if let Some(value) = forwarded_for {
        request.headers_mut().insert("x-forwarded-for", HeaderValue::from_static(value));
    }
    request
}

#[tokio::test]
async fn the_layer_stores_the_client_address_in_the_extensions() {
    let layer = ClientAddressLayer::new().trust(proxies());
    let client = client_of(&layer, request(PROXY, Some("192.0.2.7"))).await;
    assert_eq!(client.as_deref(), Some("192.0.2.7"));
    let client = client_of(&layer, request("::ffff:203.0.113.9", Some("192.0.2.7"))).await;
    assert_eq!(client.as_deref(), Some("203.0.113.9"));
    assert_eq!(client_of(&layer, Request::new(())).await, None);

    let layer = layer.header(Forwarded);
    let client = client_of(&layer, request(PROXY, Some("192.0.2.7"))).await;
    assert_eq!(client.as_deref(), Some(PROXY));
}

#[tokio::test]
async fn the_peer_can_be_read_from_a_custom_extension() {
    use axum::extract::ConnectInfo;

    let layer = ClientAddressLayer::new()
        .peer_from(|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0));
    let mut request = request("203.0.113.9", None);
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(ip("192.0.2.7"), 1)));
    assert_eq!(client_of(&layer, request).await.as_deref(), Some("192.0.2.7"));
}

#[tokio::test]
async fn on_untrusted_is_called_once_across_all_services() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let layer = ClientAddressLayer::new().trust(proxies()).on_untrusted(move |peer| {
        assert_eq!(peer, ip("203.0.113.9"));
        counter.fetch_add(1, Ordering::SeqCst);
    });
    client_of(&layer, request(PROXY, Some("192.0.2.7"))).await;
    client_of(&layer, request("203.0.113.9", None)).await;
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    client_of(&layer, request("203.0.113.9", Some("192.0.2.7"))).await;
    client_of(&layer.clone(), request("203.0.113.9", Some("192.0.2.7"))).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

/// An address that is not a trusted proxy's.
fn untrusted() -> impl Strategy<Value = IpAddr> {
    any::<IpAddr>()
        .prop_map(canonical_address)
        .prop_filter("an untrusted", |address| !proxies().contains(*address))
}

/// An address of a trusted proxy.
fn proxy() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([10, a, b, c])),
        any::<[u16; 5]>()
            .prop_map(|[a, b, c, d, e]| IpAddr::from([0x2001, 0xdb8, 0xa, a, b, c, d, e])),
    ]
}

/// Random header text from syntactically relevant pieces.
fn header_text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "for=",
            "For",
            "by=",
            "\"",
            "\\",
            ",",
            ";",
            "=",
            " ",
            "\t",
            "[",
            "]",
            ":",
            "_",
            "unknown",
            "10.0.0.1",
            "1.1.1.1",
            "2001:db8:a::1",
            "::ffff:10.0.0.1",
            ":80",
            "%",
            "\u{e4}",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        prop::collection::vec(prop_oneof![Just(9), 32..=126_u8, 128..=255_u8], 0..4),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

/// An address as proxies write it, in several styles.
fn written(header: ForwardedHeader, address: IpAddr, style: u8) -> String {
    let port = if style & 1 == 0 { "" } else { ":4711" };
    match (header, address) {
        (XForwardedFor, IpAddr::V6(address)) if style & 2 == 0 => address.to_string(),
        (XForwardedFor, IpAddr::V4(address)) => format!("{address}{port}"),
        (XForwardedFor, IpAddr::V6(address)) => format!("[{address}]{port}"),
        (_, IpAddr::V4(address)) if style & 3 == 0 => format!("for={address}"),
        (_, IpAddr::V4(address)) => format!("for=\"{address}{port}\";proto=https"),
        (_, IpAddr::V6(address)) => format!("host=\"a,b\\\"\";for=\"[{address}]{port}\""),
    }
}

proptest! {
    /// I2
    #[test]
    fn no_header_panics_or_loses_the_peer(
        lines in prop::collection::vec(header_text(), 0..4),
        forwarded in any::<bool>(),
        peer in prop_oneof![untrusted(), proxy()],
    ) {
        let header = if forwarded { Forwarded } else { XForwardedFor };
        let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
        let found = resolve(&proxies(), header, Some(peer), &headers(header, &lines));
        prop_assert!(found.address.is_some());
        if !proxies().contains(peer) || found.evidence != Evidence::Forwarded {
            prop_assert_eq!(found.address, Some(ClientAddress::new(peer)));
        }
    }

    /// I2
    #[test]
    fn the_first_untrusted_address_from_the_right_is_the_client_for_any_forged_text(
        forged in prop::collection::vec(header_text(), 0..3),
        client in untrusted(),
        hops in prop::collection::vec(proxy(), 0..4),
        styles in any::<[u8; 5]>(),
        split in any::<bool>(),
        forwarded in any::<bool>(),
        peer in proxy(),
    ) {
        let header = if forwarded { Forwarded } else { XForwardedFor };
        let mut lines = forged;
        let appended: Vec<_> = std::iter::once(client).chain(hops).zip(styles)
            .map(|(address, style)| written(header, address, style))
            .collect();
        if split || lines.is_empty() {
            lines.extend(appended.into_iter().map(String::into_bytes));
        } else {
            let last = lines.last_mut().expect("a line");
            last.extend(b", ");
            last.extend(appended.join(", ").into_bytes());
        }
        let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
        let found = resolve(&proxies(), header, Some(peer), &headers(header, &lines));
        prop_assert_eq!(found.address, Some(ClientAddress::new(client)));
        prop_assert_eq!(found.evidence, Evidence::Forwarded);
    }

    /// I2
    #[test]
    fn a_range_contains_an_address_if_and_only_if_the_prefix_bits_agree(
        network in any::<u32>(), prefix in 1..=32_u8, address in any::<u32>(),
    ) {
        let v4 = |bits: u32| IpAddr::from(bits.to_be_bytes());
        let proxies = TrustedProxies::parse([format!("{}/{prefix}", v4(network))]).expect("a range");
        let shift = 32 - u32::from(prefix);
        prop_assert_eq!(proxies.contains(v4(address)), network >> shift == address >> shift);
        prop_assert!(proxies.contains(v4(network)));
    }
}

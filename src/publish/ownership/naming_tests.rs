use rstest::rstest;

use super::*;

/// `none`, or `p=PREFIX`, `s=SUFFIX`, `w=WILDCARD` with spaces between.
fn naming(settings: &str) -> Naming {
    let value = |key: &str| settings.split(' ').find_map(|one| one.strip_prefix(key)).unwrap_or_default();
    Naming::new(value("p="), value("s="), Some(value("w="))).expect("one affix")
}

/// What external-dns 0.21 writes, row by row.
#[rstest]
#[case::none_a_www_dot_example_dot_com("none", "A", "www.example.com", "a-www.example.com")]
#[case::none_aaaa_www_dot_example_dot_com("none", "AAAA", "www.example.com", "aaaa-www.example.com")]
#[case::none_cname_www_dot_example_dot_com("none", "CNAME", "www.example.com", "cname-www.example.com")]
#[case::none_a_example_dot_com("none", "A", "example.com", "a-example.com")]
#[case::none_a_star_dot_example_dot_com("none", "A", "*.example.com", "a-*.example.com")]
#[case::none_a_localhost("none", "A", "localhost", "a-localhost")]
#[case::none_ptr_2_dot_49_dot_168_dot_192_dot_in_dash_addr_dot_arpa(
    "none",
    "PTR",
    "2.49.168.192.in-addr.arpa",
    "ptr-2.49.168.192.in-addr.arpa"
)]
#[case::none_ns_foo_dot_example_dot_com("none", "NS", "foo.example.com", "ns-foo.example.com")]
#[case::none_mx_foo_dot_example_dot_com("none", "MX", "foo.example.com", "mx-foo.example.com")]
#[case::none_srv_foo_dot_example_dot_com("none", "SRV", "foo.example.com", "srv-foo.example.com")]
#[case::none_naptr_foo_dot_example_dot_com("none", "NAPTR", "foo.example.com", "naptr-foo.example.com")]
#[case::none_txt_foo_dot_example_dot_com("none", "TXT", "foo.example.com", "txt-foo.example.com")]
#[case::none_dname_foo_dot_example_dot_com("none", "DNAME", "foo.example.com", "dname-foo.example.com")]
#[case::p_txt_dot_a_www_dot_example_dot_com("p=txt.", "A", "www.example.com", "txt.a-www.example.com")]
#[case::p_txt_dot_a_example_dot_com("p=txt.", "A", "example.com", "txt.a-example.com")]
#[case::p_txt_dot_a_star_dot_example_dot_com("p=txt.", "A", "*.example.com", "txt.a-*.example.com")]
#[case::p_txt_dot_w_wc_a_star_dot_example_dot_com("p=txt. w=wc", "A", "*.example.com", "txt.a-wc.example.com")]
#[case::p_txt_dash_a_www_dot_example_dot_com("p=txt-", "A", "www.example.com", "txt-a-www.example.com")]
#[case::p_txt_dash_a_example_dot_com("p=txt-", "A", "example.com", "txt-a-example.com")]
#[case::p_txt_dash_a_star_dot_example_dot_com("p=txt-", "A", "*.example.com", "txt-a-*.example.com")]
#[case::p_txt_dash_w_wild_a_star_dot_example_dot_com("p=txt- w=wild", "A", "*.example.com", "txt-a-wild.example.com")]
#[case::p_txt_dash_w_wild_mx_star_dot_example_dot_com(
    "p=txt- w=wild",
    "MX",
    "*.example.com",
    "txt-mx-wild.example.com"
)]
#[case::p_txt_dash_w_wild_txt_star_dot_example_dot_com(
    "p=txt- w=wild",
    "TXT",
    "*.example.com",
    "txt-txt-wild.example.com"
)]
#[case::p_type_dot_a_www_dot_example_dot_com("p=%{record_type}.", "A", "www.example.com", "a.www.example.com")]
#[case::p_type_dot_a_example_dot_com("p=%{record_type}.", "A", "example.com", "a.example.com")]
#[case::p_type_dot_a_star_dot_example_dot_com("p=%{record_type}.", "A", "*.example.com", "a.*.example.com")]
#[case::p_type_dash_a_foo_dot_example_dot_com("p=%{record_type}-", "A", "foo.example.com", "a-foo.example.com")]
#[case::p_type_dash_txt_dot_a_www_dot_example_dot_com(
    "p=%{record_type}-txt.",
    "A",
    "www.example.com",
    "a-txt.www.example.com"
)]
#[case::p_type_dash_txt_dot_a_example_dot_com("p=%{record_type}-txt.", "A", "example.com", "a-txt.example.com")]
#[case::p_type_dash_txt_dot_a_star_dot_example_dot_com(
    "p=%{record_type}-txt.",
    "A",
    "*.example.com",
    "a-txt.*.example.com"
)]
#[case::p_owner_dash_type_dot_cname_www_dot_example_dot_com(
    "p=_owner-%{record_type}.",
    "CNAME",
    "www.example.com",
    "_owner-cname.www.example.com"
)]
#[case::p_owner_dash_type_dot_a_example_dot_com("p=_owner-%{record_type}.", "A", "example.com", "_owner-a.example.com")]
#[case::p_type_dash_abc_dash_dot_cname_www_dot_example_dot_com(
    "p=%{record_type}-abc-.",
    "CNAME",
    "www.example.com",
    "cname-abc-.www.example.com"
)]
#[case::p_type_dash_abc_dash_dot_cname_example_dot_com(
    "p=%{record_type}-abc-.",
    "CNAME",
    "example.com",
    "cname-abc-.example.com"
)]
#[case::p_type_dash_foo_a_example_dot_com("p=%{record_type}-foo", "A", "example.com", "a-fooexample.com")]
#[case::p_typefoo_dot_cname_example_dot_com("p=%{record_type}foo.", "CNAME", "example.com", "cnamefoo.example.com")]
#[case::p_bar_dot_type_dot_foo_dot_cname_example_dot_com(
    "p=bar.%{record_type}.foo.",
    "CNAME",
    "example.com",
    "bar.cname.foo.example.com"
)]
#[case::p_foo_a_example_dot_com("p=foo", "A", "example.com", "fooa-example.com")]
#[case::p_foo_dash_a_example_dot_com("p=foo-", "A", "example.com", "foo-a-example.com")]
#[case::p_foo_dot_cname_example_dot_com("p=foo.", "CNAME", "example.com", "foo.cname-example.com")]
#[case::p_foo_dot_bar_dot_cname_example_dot_com("p=foo.bar.", "CNAME", "example.com", "foo.bar.cname-example.com")]
#[case::s_dash_txt_a_www_dot_example_dot_com("s=-txt", "A", "www.example.com", "a-www-txt.example.com")]
#[case::s_dash_txt_a_example_dot_com("s=-txt", "A", "example.com", "a-example-txt.com")]
#[case::s_dash_txt_a_star_dot_example_dot_com("s=-txt", "A", "*.example.com", "a-*-txt.example.com")]
#[case::s_dash_txt_w_wild_a_star_dot_example_dot_com("s=-txt w=Wild", "A", "*.example.com", "a-wild-txt.example.com")]
#[case::s_dash_type_a_www_dot_example_dot_com("s=-%{record_type}", "A", "www.example.com", "www-a.example.com")]
#[case::s_dash_type_a_example_dot_com("s=-%{record_type}", "A", "example.com", "example-a.com")]
#[case::s_dash_type_a_star_dot_example_dot_com("s=-%{record_type}", "A", "*.example.com", "*-a.example.com")]
#[case::s_dot_type_a_www_dot_example_dot_com("s=.%{record_type}", "A", "www.example.com", "www.a.example.com")]
#[case::s_dot_type_a_example_dot_com("s=.%{record_type}", "A", "example.com", "example.a.com")]
#[case::s_dash_dot_type_cname_www_dot_example_dot_com(
    "s=-.%{record_type}",
    "CNAME",
    "www.example.com",
    "www-.cname.example.com"
)]
#[case::s_dash_dot_type_a_example_dot_com("s=-.%{record_type}", "A", "example.com", "example-.a.com")]
#[case::s_foo_aaaa_example("s=foo", "AAAA", "example", "aaaa-examplefoo")]
#[case::s_foo_aaaa_example_dot_com("s=foo", "AAAA", "example.com", "aaaa-examplefoo.com")]
#[case::s_dash_foo_cname_example_dot_com("s=-foo", "CNAME", "example.com", "cname-example-foo.com")]
#[case::s_dot_foo_cname_example_dot_com("s=.foo", "CNAME", "example.com", "cname-example.foo.com")]
#[case::s_dot_foo_dot_bar_dot_test_cname_example_dot_com(
    "s=.foo.bar.test",
    "CNAME",
    "example.com",
    "cname-example.foo.bar.test.com"
)]
#[case::s_foo_dash_type_a_example_dot_com("s=foo-%{record_type}", "A", "example.com", "examplefoo-a.com")]
#[case::s_dot_footype_a_example_dot_com("s=.foo%{record_type}", "A", "example.com", "example.fooa.com")]
#[case::s_dot_footype_dot_bar_a_example_dot_com("s=.foo%{record_type}.bar", "A", "example.com", "example.fooa.bar.com")]
fn marks_stand_where_external_dns_puts_them(
    #[case] settings: &str,
    #[case] record_type: &str,
    #[case] name: &str,
    #[case] mark: &str,
) {
    let record_type = record_type.parse().expect("a type");
    assert_eq!(naming(settings).encode(name, record_type), mark);
}

/// What external-dns 0.21 reads, row by row; `-` is the old form.
#[rstest]
#[case::none_a_dash_foo_dot_example_dot_com("none", "a-foo.example.com", "foo.example.com A")]
#[case::none_aaaa_dash_foo_dot_example_dot_com("none", "aaaa-foo.example.com", "foo.example.com AAAA")]
#[case::none_cname_dash_foo_dot_example_dot_com("none", "cname-foo.example.com", "foo.example.com CNAME")]
#[case::none_ns_dash_foo_dot_example_dot_com("none", "ns-foo.example.com", "foo.example.com NS")]
#[case::none_mx_dash_foo_dot_example_dot_com("none", "mx-foo.example.com", "foo.example.com MX")]
#[case::none_srv_dash_foo_dot_example_dot_com("none", "srv-foo.example.com", "foo.example.com SRV")]
#[case::none_naptr_dash_foo_dot_example_dot_com("none", "naptr-foo.example.com", "foo.example.com NAPTR")]
#[case::none_txt_dash_foo_dot_example_dot_com("none", "txt-foo.example.com", "foo.example.com TXT")]
#[case::none_ns_dash_zone_dot_example_dot_com("none", "ns-zone.example.com", "zone.example.com NS")]
#[case::none_aaaa_dash_zone_dot_example_dot_com("none", "aaaa-zone.example.com", "zone.example.com AAAA")]
#[case::none_ptr_dash_zone_dot_example_dot_com("none", "ptr-zone.example.com", "zone.example.com PTR")]
#[case::none_zone_dot_example_dot_com("none", "zone.example.com", "zone.example.com -")]
#[case::none_a_dash_team_dot_example_dot_com("none", "a-team.example.com", "team.example.com A")]
#[case::p_txt_dot_www_dot_example_dot_com("p=txt.", "www.example.com", "")]
#[case::p_foo_dash_type_dash_foo_dash_cname_dash_test_dot_example_dot_com(
    "p=foo-%{record_type}-",
    "foo-cname-test.example.com",
    "test.example.com CNAME"
)]
#[case::p_foo_dash_type_dash_foo_dash_a_dash_test_dot_example_dot_com(
    "p=foo-%{record_type}-",
    "foo-a-test.example.com",
    "test.example.com A"
)]
#[case::p_foo_dash_type_dash_foo_dash_dash_test_dot_example_dot_com(
    "p=foo-%{record_type}-",
    "foo--test.example.com",
    "test.example.com -"
)]
#[case::p_typex_dot_x_dot_www_dot_example_dot_com("p=%{record_type}x.", "x.www.example.com", "www.example.com -")]
#[case::p_type_aaaawww_dot_example_dot_com("p=%{record_type}", "aaaawww.example.com", "aaawww.example.com A")]
#[case::s_dash_txt_cname_dash_www_dash_txt_dot_example_dot_com(
    "s=-txt",
    "cname-www-txt.example.com",
    "www.example.com CNAME"
)]
#[case::s_dash_type_foo_dash_a_dot_example_dot_com("s=-%{record_type}", "foo-a.example.com", "foo.example.com A")]
#[case::s_dash_type_foo_dash_cname_dot_example_dot_com(
    "s=-%{record_type}",
    "foo-cname.example.com",
    "foo.example.com CNAME"
)]
#[case::s_dash_type_www_dash_dot_example_dot_com("s=-%{record_type}", "www-.example.com", "www.example.com -")]
#[case::s_dash_type_dash_foo_test_dash_a_dash_foo_dot_example_dot_com(
    "s=-%{record_type}-foo",
    "test-a-foo.example.com",
    "test.example.com A"
)]
#[case::s_dash_type_dash_foo_test_dash_dash_foo_dot_example_dot_com(
    "s=-%{record_type}-foo",
    "test--foo.example.com",
    "test.example.com -"
)]
#[case::s_dot_foo_dot_bar_a_dash_example_dot_foo_dot_bar_dot_com(
    "s=.foo.bar",
    "a-example.foo.bar.com",
    "example.com A"
)]
#[case::s_dot_foo_dot_bar_a_dash_example_dot_foo_dot_bar("s=.foo.bar", "a-example.foo.bar", "example A")]
#[case::s_dot_foo_dot_bar_a_dash_example_dot_foo("s=.foo.bar", "a-example.foo", "")]
#[case::p_owner_dash_type_dot_w_wildcard_owner_dash_a_dot_wildcard_dot_example_dot_com(
    "p=_owner-%{record_type}. w=_wildcard",
    "_owner-a._wildcard.example.com",
    "*.example.com A"
)]
fn names_of_marks_are_read_as_external_dns_reads_them(
    #[case] settings: &str,
    #[case] mark: &str,
    #[case] decoded: &str,
) {
    let read = naming(settings).decode(mark).map(|(name, record_type)| {
        let record_type = record_type.map_or("-".to_owned(), |record_type| record_type.to_string());
        format!("{name} {record_type}")
    });
    assert_eq!(read.unwrap_or_default(), decoded);
}

/// external-dns reads `a-txt` with the suffix `-txt` as the type A with nothing behind it, and `www-foo` with a template
/// as `.example.com`. Neither is a name that it could have written for a record.
#[rstest]
#[case::a_short_name_is_no_type("s=-txt", "a-txt.example.com", Some("a.example.com"))]
#[case::an_unknown_type_is_no_mark("s=-%{record_type}", "www-foo.example.com", None)]
fn two_oddities_of_external_dns_are_not_followed(
    #[case] settings: &str,
    #[case] mark: &str,
    #[case] decoded: Option<&str>,
) {
    assert_eq!(naming(settings).decode(mark), decoded.map(|name| (name.to_owned(), None)));
}

#[test]
fn prefix_and_suffix_together_are_refused() {
    assert_eq!(Naming::new("pre-", "-suf", None), Err(NamingError::BothAffixes));
}

#[test]
fn the_old_form_has_no_type() {
    assert_eq!(naming("p=txt.").encode_old("www.example.com"), "txt.www.example.com");
    assert_eq!(naming("s=-%{record_type}").encode_old("www.example.com"), "www-.example.com");
    assert_eq!(naming("none").encode_old("www.example.com"), "www.example.com");
}

#[rstest]
#[case::plain("www.example.com")]
#[case::apex("example.com")]
#[case::wildcard("*.example.com")]
fn our_own_form_is_read_back_for_every_name_and_type(#[case] name: &str) {
    for record_type in KNOWN_TYPES {
        let mark = Naming::own_label().encode(name, record_type);
        assert!(mark.ends_with(".example.com"), "{mark} is inside the zone");
        assert_eq!(Naming::own_label().decode(&mark), Some((name.to_owned(), Some(record_type))));
    }
}

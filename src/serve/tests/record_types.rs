//! The RR types that another implementation knows.

use hickory_proto::rr::RecordType as Foreign;
use mcdns_core::dns::RecordType;

#[test]
fn every_type_that_hickory_knows_has_the_same_name_here() {
    let mut known = 0;
    for number in 0..=u16::MAX {
        // ANAME has no number of IANA's (each vendor takes another), and 0 is reserved (RFC 6895 section 3.1).
        let foreign = match Foreign::from(number) {
            Foreign::Unknown(_) | Foreign::ANAME | Foreign::ZERO => continue,
            foreign => foreign,
        };
        known += 1;
        assert_eq!(RecordType(number).to_string(), foreign.to_string());
        assert_eq!(foreign.to_string().parse(), Ok(RecordType(number)));
    }
    assert!(known > 35, "{known} types");
    assert_eq!("DNAME".parse(), Ok(RecordType::DNAME));
}

//! The client subnet option (RFC 7871).

use super::BadOption;

/// Family, source prefix length, scope prefix length.
const FIXED: usize = 4;
/// The longest option: an IPv6 address in full.
pub(super) const LONGEST: usize = FIXED + 16;

/// The option of a query, as far as it is echoed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet<'r> {
    data: &'r [u8],
}

impl<'r> Subnet<'r> {
    /// Reads the data of the option.
    ///
    /// RFC 7871 section 6: "A server receiving an ECS option that uses either too few or too many ADDRESS octets, or
    /// that has non-zero ADDRESS bits set beyond SOURCE PREFIX-LENGTH, SHOULD return FORMERR"; the SCOPE
    /// PREFIX-LENGTH "MUST be set to 0" in queries. Family 0, without an address, is what clients send that opt out and
    /// have none. Families that are not known get FORMERR. Both as BIND does.
    pub(super) fn read(data: &'r [u8]) -> Result<Self, BadOption> {
        let [high, low, source, scope, address @ ..] = data else { return Err(BadOption) };
        let longest = match u16::from_be_bytes([*high, *low]) {
            0 => 0,
            1 => 32,
            2 => 128,
            _ => return Err(BadOption),
        };
        let bits = usize::from(*source);
        if bits > longest || *scope != 0 || address.len() != bits.div_ceil(8) {
            return Err(BadOption);
        }
        let beyond = match (address.last(), bits % 8) {
            (Some(last), used @ 1..) => last & (0xff >> used),
            _ => 0,
        };
        if beyond == 0 { Ok(Self { data }) } else { Err(BadOption) }
    }

    /// Octets of the option's data in the answer.
    pub(super) fn length(self) -> usize {
        self.data.len()
    }

    /// The option's data in the answer: "FAMILY, SOURCE PREFIX-LENGTH, and ADDRESS … MUST match" those of the query
    /// (section 7.2.1), and scope 0 says that the answer is the same for everybody.
    pub(super) fn echo(self, room: &mut [u8; LONGEST]) -> &[u8] {
        // The scope of the query was 0 already.
        let room = &mut room[..self.data.len()];
        room.copy_from_slice(self.data);
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_0_hides_an_address_that_has_no_family() {
        let data = [0, 0, 0, 0];
        let subnet = Subnet::read(&data).expect("an option without an address");
        assert_eq!(subnet.echo(&mut [9; LONGEST]), data);
        assert_eq!(Subnet::read(&[0, 0, 1, 0, 0]), Err(BadOption));
    }
}

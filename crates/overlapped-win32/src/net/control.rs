//! Control messages: their headers are alike, their contents are not.

use std::mem::size_of;

/// Winsock's header is Linux's: a length, a level, a type, eight bytes aligned.
const HEADER: usize = size_of::<libc::cmsghdr>();

const IPPROTO_IP: i32 = 0;
const IPPROTO_IPV6: i32 = 41;
const IP_PKTINFO: i32 = 19;
const IPV6_PKTINFO: i32 = 19;

fn aligned(length: usize) -> usize {
    length.next_multiple_of(size_of::<usize>())
}

fn messages(bytes: &[u8]) -> impl Iterator<Item = (i32, i32, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let word = |at: usize| {
            rest.get(at..at + 4)?
                .try_into()
                .ok()
                .map(i32::from_ne_bytes)
        };
        let length = usize::from_ne_bytes(rest.get(..8)?.try_into().ok()?);
        let (level, kind) = (word(8)?, word(12)?);
        let content = rest.get(HEADER..length)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some((level, kind, content))
    })
}

fn push(into: &mut Vec<u8>, level: i32, kind: i32, content: &[u8]) {
    into.extend_from_slice(&(HEADER + content.len()).to_ne_bytes());
    into.extend_from_slice(&level.to_ne_bytes());
    into.extend_from_slice(&kind.to_ne_bytes());
    into.extend_from_slice(content);
    into.resize(aligned(into.len()), 0);
}

/// A program's control messages for Linux; `None` if there is one that is not known.
pub(crate) fn to_linux(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut made = Vec::new();
    for (level, kind, content) in messages(bytes) {
        match (level, kind) {
            (IPPROTO_IP, IP_PKTINFO) if content.len() >= 8 => {
                // Address and interface; Linux has the interface first, then the source, then an
                // address that is only received.
                let mut info = content[4..8].to_vec();
                info.extend_from_slice(&content[..4]);
                info.extend_from_slice(&[0; 4]);
                push(&mut made, libc::SOL_IP, libc::IP_PKTINFO, &info);
            }
            (IPPROTO_IPV6, IPV6_PKTINFO) if content.len() >= 20 => {
                push(
                    &mut made,
                    libc::SOL_IPV6,
                    libc::IPV6_PKTINFO,
                    &content[..20],
                );
            }
            _ => return None,
        }
    }
    Some(made)
}

/// Linux's control messages for a program; those that Winsock has not are left out.
pub(crate) fn of_linux(bytes: &[u8]) -> Vec<u8> {
    let mut made = Vec::new();
    for (level, kind, content) in messages(bytes) {
        match (level, kind) {
            (libc::SOL_IP, libc::IP_PKTINFO) if content.len() >= 12 => {
                let mut info = content[8..12].to_vec();
                info.extend_from_slice(&content[..4]);
                push(&mut made, IPPROTO_IP, IP_PKTINFO, &info);
            }
            (libc::SOL_IPV6, libc::IPV6_PKTINFO) if content.len() >= 20 => {
                push(&mut made, IPPROTO_IPV6, IPV6_PKTINFO, &content[..20]);
            }
            _ => {}
        }
    }
    made
}

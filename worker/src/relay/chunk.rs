//! Messages of bounded size.

/// A message has at most so many bytes, unless one thing alone has more: an event's body has up to as many by itself.
pub(super) const MOST_BYTES: usize = 512 * 1024;

/// What is left of [`MOST_BYTES`] for a list when the rest of the message is written.
const ROOM: usize = MOST_BYTES - 2048;

/// Divides a list into parts of at most [`MOST_BYTES`] by what each thing has at most, one at least in each part.
pub(super) fn chunks<T>(mut things: &[T], bytes: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut parts = Vec::new();
    while !things.is_empty() {
        let mut sum = 0;
        let fitting = things.iter().take_while(|thing| {
            sum += bytes(thing);
            sum <= ROOM
        });
        let (part, rest) = things.split_at(fitting.count().max(1));
        parts.push(part);
        things = rest;
    }
    parts
}

/// What an identifier has in JSON at most. It holds no control character, so nothing in it takes more than two bytes for
/// one, and the quotes and a comma come to it.
pub(super) fn text_bytes(text: &str) -> usize {
    2 * text.len() + 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_tile_the_list_and_one_that_is_too_large_stands_alone() {
        let sizes = [ROOM / 2, ROOM / 2, 1, MOST_BYTES * 2, 1, 1];
        let parts = chunks(&sizes, |size| *size);
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 1, 1, 2]);
        assert_eq!(parts.concat(), sizes);
        assert!(chunks(&[], |size: &usize| *size).is_empty());
    }
}

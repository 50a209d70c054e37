//! Numbers that look random and are the same for the same seed.

/// A SplitMix64 generator: small, even enough for a believable book, and of no use for secrets.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The generator of that seed.
    pub const fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `limit` (excluded; at least 1).
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit.max(1)
    }

    /// A number from 0 (included) to 1 (excluded).
    pub fn chance(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of some things.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(from.len() as u64);
        &from[usize::try_from(index).expect("an index is below a length")]
    }

    /// The text of a version 4 UUID.
    pub fn uuid(&mut self) -> String {
        let high = (self.number() & !0xf000) | 0x4000;
        let low = (self.number() & !(0b11 << 62)) | (0b10 << 62);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

/// The thing at the place that a chance (0 included, 1 excluded) points to; `None` if there are none.
pub fn at_chance<T>(from: &[T], chance: f64) -> Option<&T> {
    let index = (chance * from.len() as f64) as usize;
    from.get(index.min(from.len().saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_each_time() {
        let draw =
            |seed| (0..4).map(move |_| ()).scan(Dice::seeded(seed), |dice, ()| Some(dice.uuid())).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        let mut dice = Dice::seeded(1);
        for _ in 0..100 {
            let uuid = dice.uuid();
            assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
            assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        }
    }

    #[test]
    fn a_chance_points_into_the_list() {
        assert_eq!(at_chance(&['a', 'b'], 0.0), Some(&'a'));
        assert_eq!(at_chance(&['a', 'b'], 0.999), Some(&'b'));
        assert_eq!(at_chance::<char>(&[], 0.5), None);
    }
}

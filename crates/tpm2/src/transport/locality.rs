//! Localities: who on the platform speaks.

/// A locality of the platform (Part 2 §8.5, `TPMA_LOCALITY`; PTP, "Locality"). An operating system
/// is [`Zero`](Self::Zero); the others belong to a dynamic launch and to trusted hardware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Locality {
    /// The operating system and the static root of trust.
    #[default]
    Zero,
    /// The dynamically launched operating system's own use.
    One,
    /// The dynamically launched operating system.
    Two,
    /// Trusted components of the launch.
    Three,
    /// The hardware that begins a dynamic launch.
    Four,
}

impl Locality {
    /// Every locality.
    pub const ALL: [Self; 5] = [Self::Zero, Self::One, Self::Two, Self::Three, Self::Four];

    /// Its number, 0 to 4.
    pub const fn number(self) -> u8 {
        match self {
            Self::Zero => 0,
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
        }
    }

    /// The locality of that number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

//! What a token tells of its PIN's tries (PKCS#11 3.0 §3.2, `CKF_USER_PIN_…`), and whether one may
//! be spent.

use cryptoki::slot::TokenInfo;
use touchstone_element::Error;

/// The flags about tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PinState {
    pub(crate) missing: bool,
    pub(crate) final_try: bool,
    pub(crate) locked: bool,
}

impl PinState {
    pub(crate) fn read(info: &TokenInfo) -> Self {
        Self {
            missing: !info.user_pin_initialized(),
            final_try: info.user_pin_final_try(),
            locked: info.user_pin_locked(),
        }
    }

    /// Refuses what cannot succeed, and the last try unless it is to be spent: somebody was wrong
    /// before, and a token that locks has to go to its owner.
    pub(crate) fn may_try(self, spend_final_try: bool) -> Result<(), Error> {
        if self.locked {
            return Err(Error::LockedOut { recovery: None });
        }
        if self.missing {
            return Err(Error::BadInput(
                "the token has no user PIN yet; set one with its own tool (`pkcs11-tool --init-pin`)",
            ));
        }
        if self.final_try && !spend_final_try {
            return Err(self.wrong());
        }
        Ok(())
    }

    /// The error for a PIN that the token refused, by the state after it.
    pub(crate) const fn wrong(self) -> Error {
        if self.locked {
            return Error::LockedOut { recovery: None };
        }
        Error::WrongAuthorization { tries_left: if self.final_try { Some(1) } else { None } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_try_is_not_spent_unasked() {
        let last = PinState { final_try: true, ..PinState::default() };
        let refused = last.may_try(false);
        assert!(matches!(refused, Err(Error::WrongAuthorization { tries_left: Some(1) })));
        assert!(last.may_try(true).is_ok());
        assert!(PinState::default().may_try(false).is_ok());
    }

    #[test]
    fn a_locked_token_and_one_without_a_pin_are_told_apart() {
        let locked = PinState { locked: true, final_try: true, missing: false };
        assert!(matches!(locked.may_try(true), Err(Error::LockedOut { recovery: None })));
        assert!(matches!(locked.wrong(), Error::LockedOut { .. }));
        let missing = PinState { missing: true, ..PinState::default() };
        assert!(matches!(missing.may_try(true), Err(Error::BadInput(_))));
        assert!(matches!(
            PinState::default().wrong(),
            Error::WrongAuthorization { tries_left: None }
        ));
    }
}

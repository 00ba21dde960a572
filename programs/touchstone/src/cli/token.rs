//! The words of `touchstone evidence` and `touchstone ear`.

use clap::Subcommand;
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub(crate) enum Evidence {
    /// Say what evidence says: a token (EAT, RFC 9711) or a wrapper (CMW, RFC 9999)
    #[command(after_help = "\
Examples:
  touchstone evidence show gateway.cwt --key gateway-pub.pem --nonce 48df7b172d70b5a1
  touchstone evidence show gateway.jwt --json | jq .claims.submods
  touchstone evidence show evidence.cmw

A token is a CWT or a JWT, or a bundle of one with detached claims sets, which have to be those that it
has digests of. With --key its signature is checked, and nothing is shown that the key did
not sign; without, it is what the token says of itself. Exits with 1 if the key did not sign it, if it
has expired, or if it does not carry the nonce. The parts of a wrapper are listed, also of one in a
token's claim cmw; `touchstone appraise --evidence` and fleets judge what they say.")]
    Show {
        /// The evidence; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Who must have signed a token: a `PUBLIC KEY` in PEM, ECDSA on P-256 or P-384
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// The nonce that a token has to carry, in hexadecimal
        #[arg(long, value_name = "HEX", value_parser = crate::token::nonce)]
        nonce: Option<crate::token::Nonce>,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum Ear {
    /// Say what a verifier said about a device, if it was that verifier
    #[command(after_help = "\
Examples:
  touchstone ear show gateway.jwt --key verifier.pub
  touchstone ear show gateway.cwt --key verifier.pub --nonce 48df7b172d70b5a1 --json | jq .tier

Reads EAT attestation results (EAR), CWT and JWT, by the names of the drafts -02 to -04. Exits with 1
if the verifier's key did not sign it, if it does not count now, or if it is about other evidence; a
tier that is not affirming is an answer, and good.")]
    Show {
        /// The attestation result; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The verifier's key: a `PUBLIC KEY` in PEM; a fleet has it as `verifier.pub`
        #[arg(long, value_name = "FILE", required = true)]
        key: PathBuf,
        /// The nonce of the evidence, in hexadecimal
        #[arg(long, value_name = "HEX", value_parser = crate::token::nonce)]
        nonce: Option<crate::token::Nonce>,
    },
}

//! Object identifiers, by the names of their standards.

use der::asn1::ObjectIdentifier;

macro_rules! oids {
    ($($name:ident = $oid:literal, $source:literal;)*) => {
        $(#[doc = $source] pub(crate) const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($oid);)*
    };
}

oids! {
    ID_DATA = "1.2.840.113549.1.7.1", "RFC 5652 §4";
    ID_SIGNED_DATA = "1.2.840.113549.1.7.2", "RFC 5652 §5.1";
    ID_CONTENT_TYPE = "1.2.840.113549.1.9.3", "RFC 5652 §11.1";
    ID_MESSAGE_DIGEST = "1.2.840.113549.1.9.4", "RFC 5652 §11.2";
    ID_SIGNING_TIME = "1.2.840.113549.1.9.5", "RFC 5652 §11.3";
    ID_COUNTERSIGNATURE = "1.2.840.113549.1.9.6", "RFC 5652 §11.4";
    ID_ALGORITHM_PROTECT = "1.2.840.113549.1.9.52", "RFC 6211 §2";
    ID_MULTIPLE_SIGNATURES = "1.2.840.113549.1.9.16.2.51", "RFC 5752 §3";
    ID_TIME_STAMP_TOKEN = "1.2.840.113549.1.9.16.2.14", "RFC 3161 appendix A";
    ID_TST_INFO = "1.2.840.113549.1.9.16.1.4", "RFC 3161 §2.4.2";
    ID_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47", "RFC 5035 §3";
    ID_CE_EXT_KEY_USAGE = "2.5.29.37", "RFC 5280 §4.2.1.12";
    ID_KP_TIME_STAMPING = "1.3.6.1.5.5.7.3.8", "RFC 3161 §2.3";
    ID_ENVELOPED_DATA = "1.2.840.113549.1.7.3", "RFC 5652 §6.1";
    ID_AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23", "RFC 5083 §2.1";
    ID_ORI_KEM = "1.2.840.113549.1.9.16.13.3", "RFC 9629 §3";
    RSA_ENCRYPTION = "1.2.840.113549.1.1.1", "RFC 8017 appendix C";
    ID_RSAES_OAEP = "1.2.840.113549.1.1.7", "RFC 8017 appendix C";
    ID_MGF1 = "1.2.840.113549.1.1.8", "RFC 8017 appendix C";
    ID_P_SPECIFIED = "1.2.840.113549.1.1.9", "RFC 8017 appendix C";
    ID_EC_PUBLIC_KEY = "1.2.840.10045.2.1", "RFC 5480 §2.1.1";
    SECP256R1 = "1.2.840.10045.3.1.7", "RFC 5480 §2.1.1.1";
    SECP384R1 = "1.3.132.0.34", "RFC 5480 §2.1.1.1";
    SECP521R1 = "1.3.132.0.35", "RFC 5480 §2.1.1.1";
    STD_DH_SHA1_KDF = "1.3.133.16.840.63.0.2", "RFC 5753 §7.1.4";
    STD_DH_SHA256_KDF = "1.3.132.1.11.1", "RFC 5753 §7.1.4";
    STD_DH_SHA384_KDF = "1.3.132.1.11.2", "RFC 5753 §7.1.4";
    STD_DH_SHA512_KDF = "1.3.132.1.11.3", "RFC 5753 §7.1.4";
    HKDF_SHA256 = "1.2.840.113549.1.9.16.3.28", "RFC 8619 §2";
    HKDF_SHA384 = "1.2.840.113549.1.9.16.3.29", "RFC 8619 §2";
    HKDF_SHA512 = "1.2.840.113549.1.9.16.3.30", "RFC 8619 §2";
    ML_KEM_512 = "2.16.840.1.101.3.4.4.1", "RFC 9935 §3";
    ML_KEM_768 = "2.16.840.1.101.3.4.4.2", "RFC 9935 §3";
    ML_KEM_1024 = "2.16.840.1.101.3.4.4.3", "RFC 9935 §3";
    AES128_WRAP = "2.16.840.1.101.3.4.1.5", "RFC 3565 §2.3.2";
    AES256_WRAP = "2.16.840.1.101.3.4.1.45", "RFC 3565 §2.3.2";
    AES128_CBC = "2.16.840.1.101.3.4.1.2", "RFC 3565 §4.1";
    AES256_CBC = "2.16.840.1.101.3.4.1.42", "RFC 3565 §4.1";
    AES128_GCM = "2.16.840.1.101.3.4.1.6", "RFC 5084 §3.2";
    AES256_GCM = "2.16.840.1.101.3.4.1.46", "RFC 5084 §3.2";
}

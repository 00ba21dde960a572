// OpenSSL 3.5, as a peer for tests: certificates, CRLs, OCSP and CMS with ML-DSA. It is the library
// within Node.js, which shows it to its addons; this is one. One command a run, files in and out,
// certificates and keys in PEM and everything else in DER.
//
//   certify  ALGORITHM NAME CERT KEY [ISSUER ISSUER-KEY]   a CA's with itself as issuer, else a leaf's
//   chain    LEAF CRL-or-dash CERT...        the last is the anchor; with a CRL, the leaf is asked about
//   crl      OUT CA CA-KEY [REVOKED-CERT]
//   respond  OUT good|revoked CERT CA CA-KEY
//   status   RESPONSE CERT CA                prints good or revoked
//   sign     CONTENT OUT attached|detached (CERT KEY)...
//   verify   ENVELOPE CONTENT-or-dash ANCHORS...           prints the subject of each signer

#include <node_api.h>
#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static void need(int good, const char *what) {
    if (!good) fail(what);
}

static BIO *file(const char *path, const char *mode) {
    BIO *bio = BIO_new_file(path, mode);
    need(bio != NULL, path);
    return bio;
}

static X509 *certificate(const char *path) {
    BIO *bio = file(path, "rb");
    X509 *read = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    need(read != NULL, path);
    BIO_free(bio);
    return read;
}

static EVP_PKEY *key(const char *path) {
    BIO *bio = file(path, "rb");
    EVP_PKEY *read = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    need(read != NULL, path);
    BIO_free(bio);
    return read;
}

static void extension(X509 *to, X509 *issuer, int kind, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, to, NULL, NULL, 0);
    X509_EXTENSION *made = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    need(made != NULL && X509_add_ext(to, made, -1), value);
}

static void certify(int count, char **argument) {
    need(count == 4 || count == 6, "certify: arguments");
    int is_ca = count == 4;
    EVP_PKEY *own = EVP_PKEY_Q_keygen(NULL, NULL, argument[0]);
    need(own != NULL, argument[0]);
    X509 *made = X509_new();
    X509 *issuer = is_ca ? made : certificate(argument[4]);
    EVP_PKEY *signer = is_ca ? own : key(argument[5]);
    X509_NAME *name = X509_NAME_new();
    const unsigned char *text = (const unsigned char *)argument[1];
    need(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, text, -1, -1, 0), "name");
    BIGNUM *serial = BN_new();
    need(BN_rand(serial, 120, BN_RAND_TOP_ONE, 0), "serial number");
    BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(made));
    X509_set_version(made, X509_VERSION_3);
    X509_set_subject_name(made, name);
    X509_set_issuer_name(made, X509_get_subject_name(issuer));
    X509_gmtime_adj(X509_getm_notBefore(made), -60);
    X509_gmtime_adj(X509_getm_notAfter(made), 3600);
    X509_set_pubkey(made, own);
    extension(made, issuer, NID_subject_key_identifier, "hash");
    if (is_ca) {
        extension(made, issuer, NID_basic_constraints, "critical,CA:TRUE");
        extension(made, issuer, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature");
    } else {
        extension(made, issuer, NID_authority_key_identifier, "keyid");
        extension(made, issuer, NID_key_usage, "critical,digitalSignature");
        extension(made, issuer, NID_ext_key_usage, "codeSigning");
    }
    need(X509_sign(made, signer, NULL), "signing a certificate");
    BIO *bio = file(argument[2], "wb");
    need(PEM_write_bio_X509(bio, made), argument[2]);
    BIO_free(bio);
    bio = file(argument[3], "wb");
    need(PEM_write_bio_PKCS8PrivateKey(bio, own, NULL, NULL, 0, NULL, NULL), argument[3]);
    BIO_free(bio);
}

static void chain(int count, char **argument) {
    need(count >= 3, "chain: arguments");
    STACK_OF(X509) *between = sk_X509_new_null();
    for (int n = 2; n < count - 1; n++) sk_X509_push(between, certificate(argument[n]));
    X509_STORE *store = X509_STORE_new();
    X509_STORE_add_cert(store, certificate(argument[count - 1]));
    X509_STORE_set_flags(store, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    if (strcmp(argument[1], "-") != 0) {
        BIO *bio = file(argument[1], "rb");
        X509_CRL *list = d2i_X509_CRL_bio(bio, NULL);
        need(list != NULL && X509_STORE_add_crl(store, list), argument[1]);
        BIO_free(bio);
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    }
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509_STORE_CTX_init(context, store, certificate(argument[0]), between);
    if (X509_verify_cert(context) != 1) {
        fail(X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
    }
}

static void crl(int count, char **argument) {
    need(count == 3 || count == 4, "crl: arguments");
    X509 *ca = certificate(argument[1]);
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *next = X509_gmtime_adj(NULL, 3600);
    X509_CRL_set_version(list, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(ca));
    X509_CRL_set1_lastUpdate(list, now);
    X509_CRL_set1_nextUpdate(list, next);
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    ASN1_INTEGER_set(number, 7);
    need(X509_CRL_add1_ext_i2d(list, NID_crl_number, number, 0, 0), "CRL number");
    X509V3_CTX context;
    X509V3_set_ctx(&context, ca, NULL, NULL, list, 0);
    X509_EXTENSION *by = X509V3_EXT_conf_nid(NULL, &context, NID_authority_key_identifier, "keyid");
    need(by != NULL && X509_CRL_add_ext(list, by, -1), "authority key identifier");
    if (count == 4) {
        X509_REVOKED *entry = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(certificate(argument[3])));
        X509_REVOKED_set_revocationDate(entry, now);
        X509_CRL_add0_revoked(list, entry);
    }
    X509_CRL_sort(list);
    need(X509_CRL_sign(list, key(argument[2]), NULL), "signing a CRL");
    BIO *bio = file(argument[0], "wb");
    need(i2d_X509_CRL_bio(bio, list), argument[0]);
    BIO_free(bio);
}

static void respond(int count, char **argument) {
    need(count == 5, "respond: arguments");
    X509 *ca = certificate(argument[3]);
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha256(), certificate(argument[2]), ca);
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *next = X509_gmtime_adj(NULL, 3600);
    int revoked = strcmp(argument[1], "revoked") == 0;
    int status = revoked ? V_OCSP_CERTSTATUS_REVOKED : V_OCSP_CERTSTATUS_GOOD;
    int reason = OCSP_REVOKED_STATUS_KEYCOMPROMISE;
    need(OCSP_basic_add1_status(basic, id, status, reason, revoked ? now : NULL, now, next) != NULL,
         "adding a status");
    need(OCSP_basic_sign(basic, ca, key(argument[4]), NULL, NULL, 0), "signing a response");
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    BIO *bio = file(argument[0], "wb");
    need(i2d_OCSP_RESPONSE_bio(bio, response), argument[0]);
    BIO_free(bio);
}

static void status(int count, char **argument) {
    need(count == 3, "status: arguments");
    BIO *bio = file(argument[0], "rb");
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE_bio(bio, NULL);
    need(response != NULL, argument[0]);
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    need(basic != NULL, "not a basic response");
    X509 *ca = certificate(argument[2]);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_add_cert(store, ca);
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    STACK_OF(X509) *known = sk_X509_new_null();
    sk_X509_push(known, ca);
    need(OCSP_basic_verify(basic, known, store, 0) == 1, "the response is not believed");
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), certificate(argument[1]), ca);
    OCSP_CERTID *newer = OCSP_cert_to_id(EVP_sha256(), certificate(argument[1]), ca);
    int found = -1;
    ASN1_GENERALIZEDTIME *now = NULL, *next = NULL;
    need(OCSP_resp_find_status(basic, id, &found, NULL, NULL, &now, &next)
             || OCSP_resp_find_status(basic, newer, &found, NULL, NULL, &now, &next),
         "the response is about another certificate");
    need(OCSP_check_validity(now, next, 300, -1), "the response is not of this time");
    printf("%s\n", OCSP_cert_status_str(found));
}

static void sign(int count, char **argument) {
    need(count >= 5 && count % 2 == 1, "sign: arguments");
    int detached = strcmp(argument[2], "detached") == 0;
    int flags = CMS_BINARY | CMS_PARTIAL | (detached ? CMS_DETACHED : 0);
    BIO *content = file(argument[0], "rb");
    CMS_ContentInfo *envelope = CMS_sign(NULL, NULL, NULL, content, flags);
    need(envelope != NULL, "making an envelope");
    for (int n = 3; n < count; n += 2) {
        X509 *by = certificate(argument[n]);
        EVP_PKEY *own = key(argument[n + 1]);
        need(CMS_add1_signer(envelope, by, own, EVP_sha512(), flags) != NULL, argument[n]);
    }
    need(CMS_final(envelope, content, NULL, flags), "signing an envelope");
    BIO *out = file(argument[1], "wb");
    need(i2d_CMS_bio(out, envelope), argument[1]);
    BIO_free(out);
}

static void verify(int count, char **argument) {
    need(count >= 3, "verify: arguments");
    BIO *bio = file(argument[0], "rb");
    CMS_ContentInfo *envelope = d2i_CMS_bio(bio, NULL);
    need(envelope != NULL, argument[0]);
    BIO *content = strcmp(argument[1], "-") == 0 ? NULL : file(argument[1], "rb");
    X509_STORE *store = X509_STORE_new();
    for (int n = 2; n < count; n++) X509_STORE_add_cert(store, certificate(argument[n]));
    X509_STORE_set_purpose(store, X509_PURPOSE_ANY);
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    need(CMS_verify(envelope, NULL, store, content, NULL, CMS_BINARY), "not believed");
    STACK_OF(X509) *signers = CMS_get0_signers(envelope);
    for (int n = 0; n < sk_X509_num(signers); n++) {
        X509_NAME_print_ex_fp(stdout, X509_get_subject_name(sk_X509_value(signers, n)), 0,
                              XN_FLAG_RFC2253);
        printf("\n");
    }
}

static const struct {
    const char *name;
    void (*run)(int, char **);
} COMMANDS[] = {{"certify", certify}, {"chain", chain}, {"crl", crl},       {"respond", respond},
                {"status", status},   {"sign", sign},   {"verify", verify}};

// The words of the command are the function's arguments.
static napi_value run(napi_env env, napi_callback_info info) {
    napi_value words[64];
    size_t count = 64;
    char *arguments[64];
    napi_get_cb_info(env, info, &count, words, NULL, NULL);
    need(count >= 1 && count <= 64, "which command?");
    for (size_t n = 0; n < count; n++) {
        size_t length = 0;
        need(napi_get_value_string_utf8(env, words[n], NULL, 0, &length) == napi_ok, "an argument");
        arguments[n] = calloc(1, length + 1);
        napi_get_value_string_utf8(env, words[n], arguments[n], length + 1, &length);
    }
    for (size_t n = 0; n < sizeof COMMANDS / sizeof *COMMANDS; n++) {
        if (strcmp(COMMANDS[n].name, arguments[0]) == 0) {
            COMMANDS[n].run((int)count - 1, arguments + 1);
            fflush(stdout);
            return NULL;
        }
    }
    fail(arguments[0]);
    return NULL;
}

NAPI_MODULE_INIT() {
    (void)exports;
    napi_value function;
    need(napi_create_function(env, "run", NAPI_AUTO_LENGTH, run, NULL, &function) == napi_ok, "addon");
    return function;
}

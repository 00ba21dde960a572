/* A PKCS#11 module around another (REAL): a card with three tries for its PIN, which SoftHSM does not
 * count. Each C_Login is noted in the file LOGINS. While the file LEAKS is there, every key says that
 * it can be taken out. It adds CKM_AES_CFB128, made of the other's AES-ECB (SP 800-38A §6.3), for one
 * thread. Functions and fields stand where PKCS#11 2.40 has them (pkcs11f.h, CK_TOKEN_INFO,
 * CK_ATTRIBUTE, CK_MECHANISM, CK_MECHANISM_INFO). */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long ulong;
typedef ulong (*function)(ulong, void *, void *, ulong);

enum { GET_TOKEN_INFO = 6, GET_MECHANISM_LIST = 7, GET_MECHANISM_INFO = 8, LOGIN = 18 };
enum { GET_ATTRIBUTE_VALUE = 24, ENCRYPT_INIT = 29, ENCRYPT = 30, DECRYPT_INIT = 33, DECRYPT = 34 };
enum { FUNCTIONS = 68, AES_ECB = 0x1081, AES_CFB128 = 0x2107, PARAM_INVALID = 0x71 };
enum { EXTRACTABLE = 0x162 };
enum { OK = 0, PIN_INCORRECT = 0xa0, PIN_LOCKED = 0xa4 };
enum { FLAGS_AT = 96, COUNT_LOW = 0x10000, FINAL_TRY = 0x20000, LOCKED = 0x40000, COUNTS = 0x70000 };

struct attribute { ulong type; unsigned char *value; ulong len; };
struct list { unsigned char version[2]; void *functions[FUNCTIONS]; };

static struct list real, ours;
static int tries = 3;

static ulong get_token_info(ulong slot, unsigned char *info)
{
    ulong flags, result = ((function)real.functions[GET_TOKEN_INFO])(slot, info, 0, 0);
    if (result != OK)
        return result;
    memcpy(&flags, info + FLAGS_AT, sizeof flags);
    flags &= ~(ulong)COUNTS;
    flags |= tries == 3 ? 0 : tries == 2 ? COUNT_LOW : tries == 1 ? COUNT_LOW | FINAL_TRY : LOCKED;
    memcpy(info + FLAGS_AT, &flags, sizeof flags);
    return OK;
}

static ulong login(ulong session, ulong user, unsigned char *pin, ulong len)
{
    ulong result;
    FILE *logins = fopen(LOGINS, "a");
    if (logins) {
        fputs("login\n", logins);
        fclose(logins);
    }
    if (tries == 0)
        return PIN_LOCKED;
    result = ((ulong (*)(ulong, ulong, void *, ulong))real.functions[LOGIN])(session, user, pin, len);
    if (result == OK)
        tries = 3;
    if (result == PIN_INCORRECT)
        tries--;
    return result;
}

static ulong get_attribute_value(ulong session, ulong object, struct attribute *wanted, ulong count)
{
    ulong at, result = ((ulong (*)(ulong, ulong, void *, ulong))real.functions[GET_ATTRIBUTE_VALUE])(
        session, object, wanted, count);
    for (at = 0; at < count && access(LEAKS, F_OK) == 0; at++)
        if (wanted[at].type == EXTRACTABLE && wanted[at].value && wanted[at].len == 1)
            *wanted[at].value = 1;
    return result;
}

struct mechanism { ulong type; unsigned char *parameter; ulong len; };
typedef ulong (*init)(ulong, struct mechanism *, ulong);
typedef ulong (*cipher)(ulong, unsigned char *, ulong, unsigned char *, ulong *);

static unsigned char vector[16];
static ulong cfb_key;

static ulong get_mechanism_list(ulong slot, ulong *list, ulong *count)
{
    ulong room = *count, result =
        ((ulong (*)(ulong, ulong *, ulong *))real.functions[GET_MECHANISM_LIST])(slot, list, count);
    if (result == OK && list && *count < room)
        list[*count] = AES_CFB128;
    ++*count;
    return result;
}

static ulong get_mechanism_info(ulong slot, ulong type, ulong *info)
{
    return ((ulong (*)(ulong, ulong, ulong *))real.functions[GET_MECHANISM_INFO])(
        slot, type == AES_CFB128 ? AES_ECB : type, info);
}

static ulong start(int function, ulong session, struct mechanism *mechanism, ulong key)
{
    if (mechanism->type != AES_CFB128) {
        cfb_key = 0;
        return ((init)real.functions[function])(session, mechanism, key);
    }
    if (mechanism->len != sizeof vector)
        return PARAM_INVALID;
    memcpy(vector, mechanism->parameter, sizeof vector);
    cfb_key = key;
    return OK;
}

static ulong cfb(int decrypts, ulong session, unsigned char *in, ulong len, unsigned char *out, ulong *out_len)
{
    struct mechanism ecb = { AES_ECB, 0, 0 };
    unsigned char stream[16];
    ulong at, in_block, stream_len, result;
    *out_len = len;
    if (!out)
        return OK;
    for (at = 0; at < len; at += 16) {
        stream_len = sizeof stream;
        result = ((init)real.functions[ENCRYPT_INIT])(session, &ecb, cfb_key);
        if (result == OK)
            result = ((cipher)real.functions[ENCRYPT])(session, vector, 16, stream, &stream_len);
        if (result != OK)
            return result;
        for (in_block = 0; in_block < 16 && at + in_block < len; in_block++) {
            unsigned char from = in[at + in_block], to = from ^ stream[in_block];
            vector[in_block] = decrypts ? from : to;
            out[at + in_block] = to;
        }
    }
    cfb_key = 0;
    return OK;
}

static ulong encrypt_init(ulong session, struct mechanism *mechanism, ulong key)
{
    return start(ENCRYPT_INIT, session, mechanism, key);
}

static ulong decrypt_init(ulong session, struct mechanism *mechanism, ulong key)
{
    return start(DECRYPT_INIT, session, mechanism, key);
}

static ulong encrypt_all(ulong session, unsigned char *in, ulong len, unsigned char *out, ulong *out_len)
{
    return cfb_key ? cfb(0, session, in, len, out, out_len)
                   : ((cipher)real.functions[ENCRYPT])(session, in, len, out, out_len);
}

static ulong decrypt_all(ulong session, unsigned char *in, ulong len, unsigned char *out, ulong *out_len)
{
    return cfb_key ? cfb(1, session, in, len, out, out_len)
                   : ((cipher)real.functions[DECRYPT])(session, in, len, out, out_len);
}

ulong C_GetFunctionList(struct list **list)
{
    struct list *theirs;
    void *module = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
    ulong (*get)(struct list **) = module ? (ulong (*)(struct list **))dlsym(module, "C_GetFunctionList") : 0;
    ulong result = get ? get(&theirs) : 5;
    if (result != OK)
        return result;
    real = ours = *theirs;
    ours.functions[GET_TOKEN_INFO] = get_token_info;
    ours.functions[LOGIN] = login;
    ours.functions[GET_ATTRIBUTE_VALUE] = get_attribute_value;
    ours.functions[GET_MECHANISM_LIST] = get_mechanism_list;
    ours.functions[GET_MECHANISM_INFO] = get_mechanism_info;
    ours.functions[ENCRYPT_INIT] = encrypt_init;
    ours.functions[ENCRYPT] = encrypt_all;
    ours.functions[DECRYPT_INIT] = decrypt_init;
    ours.functions[DECRYPT] = decrypt_all;
    *list = &ours;
    return OK;
}

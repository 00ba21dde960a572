/* A PKCS#11 module around another (REAL): a card with three tries for its PIN, which SoftHSM does not
 * count. Each C_Login is noted in the file LOGINS. While the file LEAKS is there, every key says that
 * it can be taken out. Functions and fields stand where PKCS#11 2.40 has them (pkcs11f.h,
 * CK_TOKEN_INFO, CK_ATTRIBUTE). */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long ulong;
typedef ulong (*function)(ulong, void *, void *, ulong);

enum { GET_TOKEN_INFO = 6, LOGIN = 18, GET_ATTRIBUTE_VALUE = 24, FUNCTIONS = 68 };
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
    *list = &ours;
    return OK;
}

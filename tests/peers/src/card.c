/* A PKCS#11 module around another (REAL): a card with three tries for its PIN, which SoftHSM does not
 * count. Each C_Login is noted in the file LOGINS. The first twenty functions and the fields used here
 * stand where PKCS#11 2.40 has them (pkcs11f.h, CK_TOKEN_INFO). */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef unsigned long ulong;
typedef ulong (*function)(ulong, void *, void *, ulong);

enum { GET_TOKEN_INFO = 6, LOGIN = 18, FUNCTIONS = 68 };
enum { OK = 0, PIN_INCORRECT = 0xa0, PIN_LOCKED = 0xa4 };
enum { FLAGS_AT = 96, COUNT_LOW = 0x10000, FINAL_TRY = 0x20000, LOCKED = 0x40000, COUNTS = 0x70000 };

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
    *list = &ours;
    return OK;
}

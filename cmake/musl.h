// Included before everything when C++ is compiled against musl: g++'s standard headers were configured for glibc, and ask it
// about itself. They are told what they want to hear, and then what musl lacks.
#define _GNU_SOURCE 1
#define __GLIBC_PREREQ(major, minor) 1
#include <locale.h>
typedef locale_t __locale_t;
#include <bits/c++config.h>
#undef _GLIBCXX_USE_PTHREAD_COND_CLOCKWAIT
#undef _GLIBCXX_USE_PTHREAD_MUTEX_CLOCKLOCK
#undef _GLIBCXX_USE_PTHREAD_RWLOCK_CLOCKLOCK

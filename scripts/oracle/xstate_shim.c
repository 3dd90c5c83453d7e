/*! Lets User-mode Linux start on CPUs with a large FPU state (Intel AMX).
 *
 * UML 6.1 keeps 2,696 bytes of extended state per process and hands exactly
 * that to PTRACE_SETREGSET. The host kernel takes only the whole state, which
 * is larger on such CPUs, and answers EFAULT; UML then kills its init.
 *
 * Preloaded into the UML process only. Guarantees: every ptrace request other
 * than PTRACE_SETREGSET/NT_X86_XSTATE passes unchanged; that one is filled up
 * with the tracee's own remaining state. UML switches register sets from one
 * thread, so one static buffer is enough. It does nothing for the guest.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

static long (*libc_ptrace)(int request, ...);
static unsigned char whole_state[32768];

__attribute__((constructor)) static void find_libc_ptrace(void)
{
	libc_ptrace = (long (*)(int, ...))dlsym(RTLD_NEXT, "ptrace");
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;

	va_start(arguments, request);
	int pid = va_arg(arguments, int);
	void *address = va_arg(arguments, void *);
	void *data = va_arg(arguments, void *);
	va_end(arguments);

	if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE) {
		const struct iovec *given = data;
		struct iovec whole = { whole_state, sizeof(whole_state) };

		if (libc_ptrace(PTRACE_GETREGSET, pid, address, &whole) == 0 &&
		    whole.iov_len > given->iov_len) {
			memcpy(whole_state, given->iov_base, given->iov_len);
			return libc_ptrace(request, pid, address, &whole);
		}
	}
	return libc_ptrace(request, pid, address, data);
}

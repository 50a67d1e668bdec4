package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

var started = time.Now()

// now returns the time since the start of this program in ns, from the monotonic clock.
func now() int64 { return int64(time.Since(started)) }

// allowDescriptors raises the soft limit on open files to the hard limit; if that is too low, the error says what to do.
func allowDescriptors(needed int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	const own = 32
	if uint64(needed+own) > limit.Max {
		return fmt.Errorf("%d connections need %d open files, but the hard limit is %d: use at most %d subscribers, or raise "+
			"the limit (`ulimit -Hn` as root, LimitNOFILE= in systemd, --ulimit nofile= in Docker) for this program and for the server",
			needed, needed+own, limit.Max, int(limit.Max)-own)
	}
	return nil
}

// pin pins every thread of this process to one CPU, counted from 0.
func pin(cpu int) error {
	var mask [16]uint64
	if cpu < 0 || cpu >= 64*len(mask) {
		return fmt.Errorf("there is no CPU %d", cpu)
	}
	mask[cpu/64] = 1 << (cpu % 64)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY,
			uintptr(id), unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
		if errno != 0 {
			return fmt.Errorf("cannot pin to CPU %d: %w", cpu, errno)
		}
	}
	return nil
}

// cpuTime returns the CPU time that this process has used, in ns.
func cpuTime() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// The hot loop uses raw system calls that bypass the Go scheduler, which has nothing else to run.

func read(fd int32, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// write never raises SIGPIPE (send with MSG_NOSIGNAL).
func write(fd int32, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// kind is the owner of a descriptor.
type kind int32

const (
	ofSubscriber kind = iota
	ofPublisher
	ofStdin
	ofStaller
)

const (
	readable = syscall.EPOLLIN
	writable = syscall.EPOLLOUT
)

type poller struct {
	fd    int
	ready [256]syscall.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	return &poller{fd: fd}, err
}

// watch adds a descriptor (EPOLL_CTL_ADD) or changes the events to wait for (EPOLL_CTL_MOD).
func (p *poller) watch(operation int, fd int32, interest uint32, whose kind, index int) error {
	event := syscall.EpollEvent{Events: interest, Fd: int32(index), Pad: int32(whose)}
	return syscall.EpollCtl(p.fd, operation, int(fd), &event)
}

// wait returns the ready descriptors, waiting at most ms milliseconds (0: do not wait, -1: wait indefinitely).
func (p *poller) wait(ms int) ([]syscall.EpollEvent, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.ready)), uintptr(len(p.ready)), uintptr(ms), 0, 0)
	if errno == syscall.EINTR {
		return nil, nil
	}
	if errno != 0 {
		return nil, errno
	}
	return p.ready[:n], nil
}

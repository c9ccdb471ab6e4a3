package main

/*
#define _GNU_SOURCE
#include <pthread.h>

static int name_thread(void) { return pthread_setname_np(pthread_self(), "longer than any name of a thread may be"); }
*/
import "C"

import "golang.org/x/sys/unix"

// GPU is what becomes of device files, of which /dev/zero stands for a GPU's and /dev/full for another.
type GPU struct {
	Opened, OtherOpened      string // before the sandbox was closed
	Control, OtherControl    string // ioctl, afterwards
	Library, Secret, Written string // what else can be opened before
	Again                    string // open, afterwards
	Name                     int    // of naming a thread as no thread can be named
	descriptor, other        int
}

func said(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}

func try(path string, flags int) (string, int) {
	descriptor, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	return said(err), descriptor
}

func openGPU() GPU {
	var gpu GPU
	gpu.Opened, gpu.descriptor = try("/dev/zero", unix.O_RDWR)
	gpu.OtherOpened, gpu.other = try("/dev/full", unix.O_RDWR)
	gpu.Library, _ = try("/etc/ld.so.cache", unix.O_RDONLY)
	gpu.Secret, _ = try("/etc/passwd", unix.O_RDONLY)
	gpu.Written, _ = try("/usr/lib", unix.O_WRONLY|unix.O_TMPFILE)
	gpu.Name = int(C.name_thread())
	return gpu
}

func (gpu GPU) closed() GPU {
	control := func(descriptor int) string {
		_, err := unix.IoctlGetInt(descriptor, unix.TIOCGPGRP)
		return said(err)
	}
	gpu.Control, gpu.OtherControl = control(gpu.descriptor), control(gpu.other)
	gpu.Again, _ = try("/dev/zero", unix.O_RDWR)
	return gpu
}

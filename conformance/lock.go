package conformance

import (
	"github.com/papyra-go/papyra/backend"
)

func lockGroup() Group {
	return Group{"LOCK", "A second opener: whoever may write is alone.", []Rule{
		{ID: "LOCK-01", Name: "a second writer is refused", Capability: Exclusive, Requires: survives, Since: "0.2",
			Sentence: "While a store is open for writing, another opener that may write is refused with ErrLocked and changes nothing, and the first goes on.",
			Check:    lock01},
		{ID: "LOCK-02", Name: "the lock is free after Close", Capability: Exclusive, Requires: []ID{"LOCK-01", "OPEN-06"}, Since: "0.2",
			Sentence: "Close lets the next opener in, also one that was refused before; a second Close of the first does not let in a third. The next finds what the others left, as if none had been refused.",
			Check:    lock02},
		{ID: "LOCK-03", Name: "a process that is killed leaves no lock", Capability: Durable, Seams: []Seam{SeamKiller}, Requires: needs(sound, []ID{"LOCK-02"}), Since: "0.4",
			Sentence: "While another process has the store open for writing this one is refused with ErrLocked; once that is killed with SIGKILL the store opens, without anybody's help.",
			Check:    lock03},
		{ID: "LOCK-04", Name: "another process is refused", Capability: Durable, Seams: []Seam{SeamKiller}, Requires: []ID{"LOCK-03"}, Since: "0.4",
			Sentence: "While this process has the store open for writing, another is refused with ErrLocked, and this one goes on.",
			Check:    lock04},
	}}
}

// alone opens a store that has one writer at a time.
func (c *Case) alone() Subject {
	s := c.open()
	if s.Capabilities().Shared {
		c.unsupported("the engine claims Shared: several may write at a time")
	}
	return s
}

// lockedOut opens the store that another has open, which must be refused.
func (c *Case) lockedOut(what string) {
	s, err := c.tryOpen(c.ctx)
	c.check(s == nil || err == nil, "no backend beside an error", "a backend and %v", err)
	c.wantError(what, err, backend.ErrLocked)
}

func lock01(c *Case) {
	s := c.alone()
	before := c.furnish(s)
	for range 3 {
		c.lockedOut("open while it is open")
	}
	c.unchanged(s, before)
	c.put(s, expecting("a", 5, 2))
	before = c.image(s)
	c.lockedOut("open while it is open, after an append")
	c.unchanged(s, before)
}

func lock02(c *Case) {
	first := c.alone()
	c.put(first, expecting("a", 0, 1))
	c.lockedOut("open while the first is open")
	c.close(first)
	second := c.open()
	c.put(second, expecting("a", 1, 1))
	c.close(first)
	c.lockedOut("open while the second is open and the first was closed twice")
	c.put(second, expecting("a", 2, 1))
	before := c.image(second)
	c.unchanged(c.reopen(second), before)
}

func lock03(c *Case) {
	for range 2 {
		ch := c.spawned()
		c.lockedOut("open while another process has it open")
		ch.kill()
		c.note("the other process is killed")
		s := c.alone()
		c.put(s, unchecked("a", 1))
		c.close(s)
	}
}

func lock04(c *Case) {
	c.spawned().kill() // another process can open it: what refuses it then is this one
	s := c.alone()
	c.put(s, unchecked("a", 1))
	for range 2 {
		said := c.spawn().says()
		c.check(said == saidLocked, "another process that is refused with ErrLocked", "it says %q", said)
		c.put(s, unchecked("a", 1))
	}
	c.close(s)
	c.spawned()
}

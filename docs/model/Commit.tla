------------------------------- MODULE Commit -------------------------------
(***************************************************************************)
(* How a partition of a table is committed: app/engine/partition.py, with   *)
(* what table.py and chunks.py do around it.  README.md maps each action to *)
(* its function, and says what is left out.                                 *)
(*                                                                          *)
(* One input topic has the records 1..Inputs, and a chunk is one record.    *)
(* Two workers may both believe that the partition is theirs.  A worker     *)
(* folds its chunk into the row and sends three records in one transaction: *)
(* the row and the applied offset to the changelog, and what is told to     *)
(* outputs.  Then it writes its store, and acks the chunk.                  *)
(***************************************************************************)
EXTENDS Naturals, Sequences, TLC

CONSTANTS
    Workers,
    Inputs,       \* how many records the input has
    Epochs,       \* how many producers there are in all
    CalmAtLast,   \* whether nothing fails any more after the last of them; for AllIsTold
    \* The safeguards.  Each is TRUE in the engine, and FALSE in the mutant of its name.
    NewProducer,  \* a producer that had no answer to an EndTxn begins no further transaction
    LevelsAgain,  \* the worker catches up also when it replaces its producer for that
    OneName,      \* all producers of the partition have one transactional id, and fence each other
    FenceFirst,   \* the fence comes first, catching up second
    LogFirst,     \* the log is written first, the store second
    SkipsApplied, \* a chunk at or before the applied offset is left out
    AcksLast      \* a chunk is acked once it is in the log

VARIABLES
    coordinator,  \* of each transactional id: [epoch, topics of its open transaction, committed]
    log,          \* of each topic: its records, each open, committed or aborted
    late,         \* EndTxn requests that nobody waits for any more, as <<name, epoch>>
    acked,        \* the last chunk acked; Faust commits that offset when it likes
    worker        \* of each worker: what it has in memory, and its store

vars == <<coordinator, log, late, acked, worker>>

Topics == {"changelog", "outputs"}
Name(w) == IF OneName THEN "partition" ELSE w
Names == {Name(w) : w \in Workers}

Alike == Permutations(Workers)  \* of two states that differ in the workers' names, TLC keeps one

-----------------------------------------------------------------------------
(* Reading the log.                                                         *)

IsCommitted(record) == record.state = "committed"
Committed(records) == SelectSeq(records, IsCommitted)

EmptyStore == [row |-> <<>>, applied |-> 0, at |-> 0]

RECURSIVE Written(_, _)
Written(store, records) ==   \* a record is named after the field that it replaces: row or applied
    IF records = <<>> THEN store
    ELSE Written([store EXCEPT ![Head(records).is] = Head(records).value], Tail(records))

Read(store, end) ==          \* what becomes of a store that reads the changelog up to `end`
    [Written(store, Committed(SubSeq(log["changelog"], store.at + 1, end))) EXCEPT !.at = end]

StableEnd ==                 \* read_committed ends before the first open record
    LET open == {i \in DOMAIN log["changelog"] : log["changelog"][i].state = "open"}
    IN  IF open = {} THEN Len(log["changelog"])
        ELSE (CHOOSE i \in open : \A j \in open : i <= j) - 1

-----------------------------------------------------------------------------
(* The broker.                                                              *)

Ended(name, state) ==        \* the log, once the markers of `name` are in it
    [t \in Topics |-> [i \in DOMAIN log[t] |->
        IF log[t][i].by.name = name /\ log[t][i].state = "open"
        THEN [log[t][i] EXCEPT !.state = state]
        ELSE log[t][i]]]

InitProducerId(name) ==      \* a new epoch; what is open is aborted
    /\ coordinator[name].epoch < Epochs
    /\ coordinator' = [coordinator EXCEPT
            ![name] = [epoch |-> @.epoch + 1, topics |-> {}, committed |-> FALSE]]
    /\ log' = Ended(name, "aborted")

EndTxn(name, epoch) ==       \* commits whatever is open: the request does not say what it means
    IF epoch = coordinator[name].epoch /\ coordinator[name].topics # {}
    THEN /\ coordinator' = [coordinator EXCEPT ![name].topics = {}, ![name].committed = TRUE]
         /\ log' = Ended(name, "committed")
    ELSE UNCHANGED <<coordinator, log>>

AnswerToEndTxn(name, epoch) ==
    IF epoch # coordinator[name].epoch THEN "fenced"
    ELSE IF coordinator[name].topics # {} \/ coordinator[name].committed THEN "ok"
    ELSE "refused"

Calm(name) == CalmAtLast /\ coordinator[name].epoch = Epochs

LateEndTxnArrives(name, epoch) ==   \* it stays in `late`, since there may be any number of them
    /\ <<name, epoch>> \in late
    /\ EndTxn(name, epoch)
    /\ UNCHANGED <<late, acked, worker>>

CoordinatorAborts(name) ==          \* the transaction took too long
    /\ coordinator[name].topics # {}
    /\ CalmAtLast => coordinator[name].epoch + 1 < Epochs
    /\ InitProducerId(name)
    /\ UNCHANGED <<late, acked, worker>>

-----------------------------------------------------------------------------
(* A worker.  Its phases: idle -> behind -> live -> sending -> ending       *)
(* (-> unsure -> ending) -> committed -> live.                              *)

NoRecords == [t \in Topics |-> <<>>]

Idle(store) ==
    [phase |-> "idle",
     epoch |-> 0,            \* of its producer
     sure |-> TRUE,          \* every EndTxn of this producer was answered
     chunk |-> 0,            \* in hand
     unsent |-> NoRecords,   \* of the transaction
     added |-> {},           \* topics that it has added to the transaction
     answer |-> "none",      \* to the EndTxn that it waits for, until it has read it
     store |-> store]        \* as it was after each write; a crash loses the last ones

Becomes(w, new) == worker' = [worker EXCEPT ![w] = new]
LetsGo(w) == Becomes(w, Idle(worker[w].store))

Store(w) ==
    LET states == worker[w].store IN IF states = <<>> THEN EmptyStore ELSE states[Len(states)]

Transaction(w) == [name |-> Name(w), epoch |-> worker[w].epoch, chunk |-> worker[w].chunk]

MustTake(w) ==
    \/ worker[w].phase = "idle"
    \/ NewProducer /\ ~worker[w].sure /\ worker[w].phase \in {"unsure", "live"}

Fence(w) ==                  \* who had the partition keeps its chunk; else Faust gives one
    LET me == worker[w] IN
    /\ IF FenceFirst THEN MustTake(w) ELSE me.phase = "level"
    /\ InitProducerId(Name(w))
    /\ \E chunk \in IF me.chunk = 0 THEN 1..(acked + 1) ELSE {me.chunk} :
        Becomes(w, [Idle(me.store) EXCEPT
            !.phase = IF FenceFirst /\ (me.phase = "idle" \/ LevelsAgain) THEN "behind" ELSE "live",
            !.epoch = coordinator[Name(w)].epoch + 1,
            !.chunk = chunk])
    /\ UNCHANGED <<late, acked>>

CatchUp(w) ==
    LET me == worker[w]
        from == IF Store(w).at > StableEnd THEN EmptyStore ELSE Store(w)
        level == Read(from, StableEnd)
    IN
    /\ IF FenceFirst THEN me.phase = "behind" ELSE MustTake(w)
    /\ Becomes(w, [me EXCEPT
            !.phase = IF FenceFirst THEN "live" ELSE "level",
            !.store = IF level = Store(w) THEN @
                      ELSE IF from = EmptyStore THEN <<level>>
                      ELSE Append(@, level)])
    /\ UNCHANGED <<coordinator, log, late, acked>>

Ack(chunk) == acked' = IF chunk > acked THEN chunk ELSE acked

Skip(w) ==
    LET me == worker[w] IN
    /\ me.phase = "live"
    /\ SkipsApplied /\ me.chunk <= Store(w).applied
    /\ Becomes(w, [me EXCEPT !.chunk = @ + 1])
    /\ Ack(me.chunk)
    /\ UNCHANGED <<coordinator, log, late>>

Fold(w) ==
    LET me == worker[w]
        row == Append(Store(w).row, me.chunk)
        Record(is, value) ==
            [is |-> is, value |-> value, by |-> Transaction(w), state |-> "open"]
    IN
    /\ me.phase = "live" /\ (NewProducer => me.sure)
    /\ me.chunk <= Inputs /\ (SkipsApplied => me.chunk > Store(w).applied)
    /\ Becomes(w, [me EXCEPT
            !.phase = "sending",
            !.added = {},
            !.unsent = [changelog |-> <<Record("row", row), Record("applied", me.chunk)>>,
                        outputs |-> <<Record("told", me.chunk)>>],
            !.store = IF LogFirst THEN @
                      ELSE Append(@, [row |-> row, applied |-> me.chunk, at |-> Store(w).at])])
    /\ IF AcksLast THEN UNCHANGED acked ELSE Ack(me.chunk)
    /\ UNCHANGED <<coordinator, log, late>>

AddTopic(w, t) ==            \* AddPartitionsToTxn; the first one begins the transaction
    LET me == worker[w] IN
    /\ me.phase = "sending" /\ me.unsent[t] # <<>> /\ t \notin me.added
    /\ IF me.epoch # coordinator[Name(w)].epoch
       THEN LetsGo(w) /\ UNCHANGED coordinator
       ELSE /\ coordinator' = [coordinator EXCEPT ![Name(w)].topics = @ \union {t}]
            /\ Becomes(w, [me EXCEPT !.added = @ \union {t}])
    /\ UNCHANGED <<log, late, acked>>

Produce(w, t) ==             \* refused with an old epoch, and where no transaction has the topic
    LET me == worker[w] IN
    /\ me.phase = "sending" /\ me.unsent[t] # <<>> /\ t \in me.added
    /\ IF me.epoch # coordinator[Name(w)].epoch \/ t \notin coordinator[Name(w)].topics
       THEN LetsGo(w) /\ UNCHANGED log
       ELSE /\ log' = [log EXCEPT ![t] = Append(@, Head(me.unsent[t]))]
            /\ Becomes(w, [me EXCEPT !.unsent[t] = Tail(@)])
    /\ UNCHANGED <<coordinator, late, acked>>

SendEndTxn(w) ==             \* once all was acknowledged; after a time-out the same once more
    LET me == worker[w] IN
    /\ (me.phase = "sending" /\ me.unsent = NoRecords) \/ me.phase = "unsure"
    /\ Becomes(w, [me EXCEPT !.phase = "ending"])
    /\ UNCHANGED <<coordinator, log, late, acked>>

EndTxnArrives(w) ==
    LET me == worker[w] IN
    /\ me.phase = "ending" /\ me.answer = "none"
    /\ EndTxn(Name(w), me.epoch)
    /\ Becomes(w, [me EXCEPT !.answer = AnswerToEndTxn(Name(w), me.epoch)])
    /\ UNCHANGED <<late, acked>>

AnswerComes(w) ==
    LET me == worker[w] IN
    /\ me.phase = "ending" /\ me.answer # "none"
    /\ IF me.answer = "ok"
       THEN Becomes(w, [me EXCEPT !.phase = "committed", !.answer = "none"])
       ELSE LetsGo(w)
    /\ UNCHANGED <<coordinator, log, late, acked>>

UnderWay(w) ==               \* the request that has not arrived yet, if there is one
    IF worker[w].phase = "ending" /\ worker[w].answer = "none"
    THEN {<<Name(w), worker[w].epoch>>}
    ELSE {}

TimesOut(w) ==               \* the request is held up or its answer is lost: the worker cannot tell
    LET me == worker[w] IN
    /\ me.phase = "ending" /\ ~Calm(Name(w))
    /\ late' = late \union UnderWay(w)
    /\ Becomes(w, [me EXCEPT !.phase = "unsure", !.answer = "none", !.sure = FALSE])
    /\ UNCHANGED <<coordinator, log, acked>>

WriteStore(w) ==             \* and acks the chunk
    LET me == worker[w]
        end == CHOOSE i \in DOMAIN log["changelog"] :
                /\ log["changelog"][i].is = "applied"
                /\ log["changelog"][i].by = Transaction(w)
        new == [row |-> Append(Store(w).row, me.chunk), applied |-> me.chunk, at |-> end]
    IN
    /\ me.phase = "committed"
    /\ Becomes(w, [me EXCEPT
            !.phase = "live",
            !.chunk = @ + 1,
            !.store = IF LogFirst THEN Append(@, new) ELSE @])
    /\ Ack(me.chunk)
    /\ UNCHANGED <<coordinator, log, late>>

Crash(w) ==                  \* the store is as it was earlier; what is on its way still arrives
    /\ ~Calm(Name(w))
    /\ late' = late \union UnderWay(w)
    /\ \E n \in 0..Len(worker[w].store) : Becomes(w, Idle(SubSeq(worker[w].store, 1, n)))
    /\ UNCHANGED <<coordinator, log, acked>>

-----------------------------------------------------------------------------
Init ==
    /\ coordinator = [n \in Names |-> [epoch |-> 0, topics |-> {}, committed |-> FALSE]]
    /\ log = NoRecords
    /\ late = {}
    /\ acked = 0
    /\ worker = [w \in Workers |-> Idle(<<>>)]

Work(w) ==
    \/ Fence(w) \/ CatchUp(w) \/ Skip(w) \/ Fold(w)
    \/ \E t \in Topics : AddTopic(w, t) \/ Produce(w, t)
    \/ SendEndTxn(w) \/ EndTxnArrives(w) \/ AnswerComes(w) \/ WriteStore(w)

Next ==
    \/ \E w \in Workers : Work(w) \/ TimesOut(w) \/ Crash(w)
    \/ \E name \in Names : CoordinatorAborts(name)
    \/ \E name \in Names, epoch \in 1..Epochs : LateEndTxnArrives(name, epoch)

Spec == Init /\ [][Next]_vars

\* A worker goes on; not every request is held up, and not every answer is lost.
FairSpec == Spec /\ \A w \in Workers :
    WF_vars(Work(w)) /\ SF_vars(EndTxnArrives(w)) /\ SF_vars(AnswerComes(w))

-----------------------------------------------------------------------------
(* What a reader with read_committed is given.                              *)

Seen == Read(EmptyStore, Len(log["changelog"]))
Told == [i \in DOMAIN Committed(log["outputs"]) |-> Committed(log["outputs"])[i].value]
SeenOf(transaction) == UNION {{log[t][i].is : i \in {j \in DOMAIN log[t] :
    log[t][j].by = transaction /\ IsCommitted(log[t][j])}} : t \in Topics}
UpTo(n) == [i \in 1..n |-> i]

(* What must hold.                                                          *)

Whole ==         \* of a transaction all three records are seen, or none
    \A t \in Topics : \A i \in DOMAIN log[t] :
        IsCommitted(log[t][i]) => SeenOf(log[t][i].by) = {"row", "applied", "told"}

AppliedOnce ==   \* the row has each record up to the applied offset, once and in order
    Seen.row = UpTo(Seen.applied)

ToldOnce ==      \* each record up to the applied offset was told, once and in order
    Told = UpTo(Seen.applied)

NothingLost ==   \* what Faust may not give again is applied
    acked <= Seen.applied

StoreFollows ==  \* a store has what the log says up to its own offset, and nothing else
    \A w \in Workers : \A i \in DOMAIN worker[w].store :
        LET store == worker[w].store[i]
        IN  store.at <= Len(log["changelog"]) /\ store = Read(EmptyStore, store.at)

Level ==         \* unless its worker is fenced, it has all that the log says while that one folds
    \A w \in Workers :
        (worker[w].phase \in {"live", "sending"} /\ worker[w].epoch = coordinator[Name(w)].epoch)
        => Store(w).row = Seen.row /\ Store(w).applied = Seen.applied

AllIsTold ==     \* under FairSpec and CalmAtLast
    <>[](Told = UpTo(Inputs))

=============================================================================

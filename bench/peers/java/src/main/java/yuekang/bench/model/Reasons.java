package yuekang.bench.model;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import yuekang.bench.model.Event.CaseConfirmed;
import yuekang.bench.model.Event.CaseDischarged;
import yuekang.bench.model.Event.CaseExcluded;
import yuekang.bench.model.Event.CaseReport;
import yuekang.bench.model.Event.CaseSuspected;
import yuekang.bench.model.Event.ContactListed;
import yuekang.bench.model.Event.ContactReport;
import yuekang.bench.model.Event.ContactWithdrawn;
import yuekang.bench.model.Event.EventRef;
import yuekang.bench.model.Event.IdentityVerified;
import yuekang.bench.model.Event.NatResult;
import yuekang.bench.model.Event.ProvincialCode;
import yuekang.bench.model.Event.ProvincialColour;
import yuekang.bench.model.Event.QuarantineKind;
import yuekang.bench.model.Event.QuarantineOrdered;
import yuekang.bench.model.Event.QuarantineReleased;
import yuekang.bench.model.Event.QuarantineReport;
import yuekang.bench.model.Event.QuarantineStep;
import yuekang.bench.model.Event.QuarantineTransferred;
import yuekang.bench.model.Event.Result;
import yuekang.bench.model.Event.ResultStatus;
import yuekang.bench.model.HealthCode.Condition;
import yuekang.bench.model.HealthCode.ConditionKind;
import yuekang.bench.model.HealthCode.Interval;
import yuekang.bench.model.HealthCode.Owner;
import yuekang.bench.model.HealthCode.Reason;

/** The six reasons for a red code: models/reasons.py, rule by rule. */
public final class Reasons {
  private Reasons() {}

  /** What a set of events means. */
  public record Assessment(Instant verifiedSince, String city, List<Interval> intervals) {}

  private record File(String source, String number) {}

  private record ConfirmedCase(Interval interval, Instant dischargedAt) {}

  /** Judges the events about one person, sorted by (source, id). */
  public static Assessment assess(List<Event> events) {
    List<Event> identities = new ArrayList<>();
    List<Event> negativeResults = new ArrayList<>();
    List<Event> positives = new ArrayList<>();
    Map<File, List<Event>> cases = new LinkedHashMap<>();
    Map<File, List<Event>> contacts = new LinkedHashMap<>();
    Map<File, List<Event>> quarantines = new LinkedHashMap<>();
    Map<File, List<Event>> provinces = new LinkedHashMap<>();
    for (Event event : standing(events)) {
      Event.Data data = event.data();
      if (data instanceof NatResult result) {
        if (result.status() == ResultStatus.FINAL) {
          if (result.result() == Result.NEGATIVE) {
            negativeResults.add(event);
          } else if (result.result() == Result.POSITIVE) {
            positives.add(event);
          }
        }
      } else if (data instanceof IdentityVerified) {
        identities.add(event);
      } else if (data instanceof CaseReport report) {
        add(cases, event, report.file());
      } else if (data instanceof ContactReport report) {
        add(contacts, event, report.file());
      } else if (data instanceof QuarantineReport report) {
        add(quarantines, event, report.file());
      } else if (data instanceof ProvincialCode report) {
        add(provinces, event, report.province());
      }
    }

    List<Event> negatives = swabs(negativeResults);
    List<ConfirmedCase> confirmed = new ArrayList<>();
    List<Interval> intervals = new ArrayList<>();
    for (List<Event> reports : cases.values()) {
      reports.sort(Event.ORDER);
      confirmedCases(reports, confirmed);
      suspectedCase(reports, intervals);
    }
    confirmed.forEach(known -> intervals.add(known.interval));
    if (!positives.isEmpty()) {
      positiveResults(positives, negatives, confirmed, intervals);
    }
    for (List<Event> reports : contacts.values()) {
      reports.sort(Event.ORDER);
      closeContact(reports, negatives, intervals);
    }
    for (List<Event> reports : provinces.values()) {
      reports.sort(Event.ORDER);
      outOfProvinceCode(reports, intervals);
    }
    for (List<Event> reports : quarantines.values()) {
      reports.sort(Event.ORDER);
      quarantine(reports, intervals);
    }
    intervals.removeIf(i -> i.end() != null && !i.start().isBefore(i.end()));
    intervals.sort(Interval.ORDER);

    Instant since = null;
    Event newest = null;
    for (Event event : identities) {
      Instant at = verifiedAt(event);
      if (since == null || at.isBefore(since)) {
        since = at;
      }
      if (newest == null || NEWEST.compare(event, newest) > 0) {
        newest = event;
      }
    }
    String city = newest == null ? null : ((IdentityVerified) newest.data()).city();
    return new Assessment(since, city, intervals);
  }

  /** Returns the standing events that close what none of the events begins before them. */
  static Set<EventRef> closesNothing(List<Event> events) {
    if (events.stream().noneMatch(event -> closes(event.data()))) {
      return Set.of();
    }
    Map<List<String>, Event> begun = new HashMap<>();
    for (Event event : events) {
      List<String> file = fileOf(event);
      if (file != null && !closes(event.data())) {
        begun.merge(file, event, (one, other) -> Event.ORDER.compare(one, other) <= 0 ? one : other);
      }
    }
    Set<EventRef> found = new HashSet<>();
    for (Event event : standing(events)) {
      if (closes(event.data())) {
        Event first = begun.get(fileOf(event));
        if (first == null || Event.ORDER.compare(event, first) < 0) {
          found.add(new EventRef(event.source(), event.id()));
        }
      }
    }
    return found;
  }

  private static boolean closes(Event.Data data) {
    return data instanceof CaseExcluded
        || data instanceof CaseDischarged
        || data instanceof ContactWithdrawn
        || data instanceof QuarantineTransferred
        || data instanceof QuarantineReleased;
  }

  private static List<String> fileOf(Event event) {
    if (event.data() instanceof CaseReport report) {
      return List.of("case", event.source(), report.file());
    } else if (event.data() instanceof ContactReport report) {
      return List.of("listing", event.source(), report.file());
    } else if (event.data() instanceof QuarantineReport report) {
      return List.of("order", event.source(), report.file());
    }
    return null;
  }

  private static final Comparator<Event> NEWEST =
      Comparator.comparing(Reasons::verifiedAt).thenComparing(Event.ORDER);

  private static Instant verifiedAt(Event event) {
    return ((IdentityVerified) event.data()).verifiedAt();
  }

  private static void add(Map<File, List<Event>> files, Event event, String number) {
    files.computeIfAbsent(new File(event.source(), number), file -> new ArrayList<>()).add(event);
  }

  private static final Comparator<Event> BY_REPORT =
      Comparator.comparing(Reasons::reportedAt).thenComparing(Event.IDENTITY);

  private static final Comparator<Event> BY_SAMPLE =
      Comparator.comparing(Reasons::sampledAt).thenComparing(Reasons::reportedAt);

  private static final Comparator<Event> BY_REPORT_THEN_SAMPLE =
      Comparator.comparing(Reasons::reportedAt).thenComparing(Reasons::sampledAt);

  private static Instant sampledAt(Event event) {
    return ((NatResult) event.data()).sampledAt();
  }

  private static Instant reportedAt(Event event) {
    return ((NatResult) event.data()).reportedAt();
  }

  private record Swab(String source, Instant sampledAt) {}

  /** Counts one swab once, as first reported. */
  private static List<Event> swabs(List<Event> results) {
    if (results.size() < 2) {
      return results;
    }
    results.sort(BY_REPORT);
    Map<Swab, Event> found = new LinkedHashMap<>();
    for (Event result : results) {
      found.putIfAbsent(new Swab(result.source(), sampledAt(result)), result);
    }
    return new ArrayList<>(found.values());
  }

  /** Leaves out the events that a standing correction takes back. */
  private static List<Event> standing(List<Event> events) {
    boolean corrections = false;
    for (Event event : events) {
      corrections |= event.supersedes() != null;
    }
    if (!corrections) {
      return events;
    }
    Map<EventRef, Event> known = new HashMap<>();
    events.forEach(event -> known.put(event.ref(), event));
    List<Event> newestFirst = new ArrayList<>(events);
    newestFirst.sort(Event.ORDER.reversed());
    Set<EventRef> takenBack = new HashSet<>();
    for (Event event : newestFirst) {
      if (event.supersedes() != null && !takenBack.contains(event.ref())) {
        Event target = known.get(new EventRef(event.source(), event.supersedes()));
        if (target != null && event.corrects(target)) {
          takenBack.add(target.ref());
        }
      }
    }
    List<Event> standing = new ArrayList<>(events);
    standing.removeIf(event -> takenBack.contains(event.ref()));
    return standing;
  }

  // Rank 1

  private static void confirmedCases(List<Event> reports, Collection<ConfirmedCase> found) {
    Event opened = null;
    for (Event report : reports) {
      if (report.data() instanceof CaseConfirmed && opened == null) {
        opened = report;
      } else if (report.data() instanceof CaseDischarged && opened != null) {
        found.add(confirmedCase(opened, report));
        opened = null;
      }
    }
    if (opened != null) {
      found.add(confirmedCase(opened, null));
    }
  }

  private static ConfirmedCase confirmedCase(Event opened, Event discharge) {
    Instant start = ((CaseConfirmed) opened.data()).at();
    Policy policy = Policy.at(start);
    Instant discharged = discharge == null ? null : ((CaseDischarged) discharge.data()).at();
    Instant end = discharged == null ? null : discharged.plus(policy.afterDischarge());
    Interval interval =
        new Interval(
            Reason.CONFIRMED_OR_POSITIVE,
            start,
            opened.ref(),
            policy.version(),
            end,
            List.of(
                new Condition(
                    ConditionKind.DISCHARGE, Owner.CDC, null, discharged, refOf(discharge)),
                new Condition(ConditionKind.TIME, Owner.TIME, end, end, null)),
            null);
    return new ConfirmedCase(interval, discharged);
  }

  private static EventRef refOf(Event event) {
    return event == null ? null : event.ref();
  }

  private static void positiveResults(
      List<Event> positives,
      List<Event> negatives,
      List<ConfirmedCase> confirmed,
      List<Interval> found) {
    List<Run> runs = runs(positives, negatives);
    for (Event positive : positives) {
      Interval alone = twoNegatives(positive, runs);
      ConfirmedCase last = null;
      for (ConfirmedCase known : confirmed) {
        boolean own =
            (alone.end() == null || known.interval.start().isBefore(alone.end()))
                && (known.dischargedAt == null
                    || sampledAt(positive).isBefore(known.dischargedAt));
        if (own && (last == null || LASTING.compare(known.interval, last.interval) > 0)) {
          last = known;
        }
      }
      found.add(
          last == null ? alone : alone.until(last.interval.end(), last.interval.conditions()));
    }
  }

  private static final Comparator<Interval> LASTING =
      Comparator.comparing((Interval interval) -> interval.end() == null)
          .thenComparing(interval -> interval.end() == null ? interval.start() : interval.end());

  private record Pair(Event first, Event second) {
    Instant complete() {
      return later(reportedAt(first), reportedAt(second));
    }
  }

  /** Negatives with no positive between them, by sampling. */
  private record Run(Instant after, List<Event> negatives) {
    Pair firstPair(Duration apart) {
      Pair best = null;
      Event first = null;
      int ahead = 0;
      for (Event second : negatives) {
        Instant latest = sampledAt(second).minus(apart);
        while (ahead < negatives.size() && !sampledAt(negatives.get(ahead)).isAfter(latest)) {
          Event candidate = negatives.get(ahead++);
          if (first == null || reportedAt(candidate).isBefore(reportedAt(first))) {
            first = candidate;
          }
        }
        if (first != null) {
          Pair pair = new Pair(first, second);
          if (best == null || pair.complete().isBefore(best.complete())) {
            best = pair;
          }
        }
      }
      return best;
    }
  }

  private static List<Run> runs(List<Event> positives, List<Event> negatives) {
    TreeSet<Instant> sampled = new TreeSet<>();
    positives.forEach(positive -> sampled.add(sampledAt(positive)));
    List<Instant> starts = new ArrayList<>(sampled);
    List<Run> runs = new ArrayList<>();
    starts.forEach(start -> runs.add(new Run(start, new ArrayList<>())));
    List<Event> ordered = new ArrayList<>(negatives);
    ordered.sort(BY_SAMPLE);
    for (Event negative : ordered) {
      int place = Collections.binarySearch(starts, sampledAt(negative));
      // One sampled at the very instant of a positive is not after it, nor apart from it.
      if (place < 0 && -place - 1 > 0) {
        runs.get(-place - 2).negatives.add(negative);
      }
    }
    return runs;
  }

  private static Interval twoNegatives(Event positive, List<Run> runs) {
    Instant start = reportedAt(positive);
    Policy policy = Policy.at(start);
    Pair best = null;
    for (Run run : runs) {
      if (!run.after.isBefore(sampledAt(positive))) {
        Pair pair = run.firstPair(policy.negativesApart());
        if (pair != null && (best == null || pair.complete().isBefore(best.complete()))) {
          best = pair;
        }
      }
    }
    List<Condition> conditions =
        best == null
            ? awaitedNegatives(runs.get(runs.size() - 1), policy.negativesApart())
            : List.of(
                negativeTest(sampledAt(positive), best.first),
                negativeTest(sampledAt(best.first).plus(policy.negativesApart()), best.second));
    return new Interval(
        Reason.CONFIRMED_OR_POSITIVE,
        start,
        positive.ref(),
        policy.version(),
        best == null ? null : best.complete(),
        conditions,
        null);
  }

  private static List<Condition> awaitedNegatives(Run run, Duration apart) {
    Event first = run.negatives.isEmpty() ? null : run.negatives.get(0);
    Instant counted = first == null ? run.after : sampledAt(first);
    return List.of(negativeTest(run.after, first), negativeTest(counted.plus(apart), null));
  }

  private static Condition negativeTest(Instant notBefore, Event metBy) {
    return new Condition(
        ConditionKind.NEGATIVE_TEST,
        Owner.LABORATORY,
        notBefore,
        metBy == null ? null : reportedAt(metBy),
        refOf(metBy));
  }

  // Rank 2

  private static void suspectedCase(List<Event> reports, List<Interval> found) {
    Event opened = null;
    boolean confirmed = false;
    for (Event report : reports) {
      if (report.data() instanceof CaseSuspected) {
        if (opened == null && !confirmed) {
          opened = report;
        }
      } else if (report.data() instanceof CaseConfirmed data) {
        if (opened != null) {
          found.add(suspicion(opened, report, data.at()));
        }
        opened = null;
        confirmed = true;
      } else if (report.data() instanceof CaseExcluded data) {
        if (opened != null) {
          found.add(suspicion(opened, report, data.at()));
        }
        opened = null;
      } else {
        confirmed = false;
      }
    }
    if (opened != null) {
      found.add(suspicion(opened, null, null));
    }
  }

  private static Interval suspicion(Event opened, Event closed, Instant end) {
    Instant start = ((CaseSuspected) opened.data()).at();
    return new Interval(
        Reason.SUSPECTED_CASE,
        start,
        opened.ref(),
        Policy.at(start).version(),
        end,
        List.of(new Condition(ConditionKind.EXCLUSION, Owner.CDC, null, end, refOf(closed))),
        null);
  }

  // Rank 3

  private static void closeContact(
      List<Event> reports, List<Event> negatives, List<Interval> found) {
    ContactWithdrawn withdrawal = null;
    for (int i = reports.size() - 1; i >= 0; i--) {
      Event report = reports.get(i);
      if (report.data() instanceof ContactWithdrawn withdrawn) {
        withdrawal = withdrawn;
      } else if (report.data() instanceof ContactListed listed) {
        found.add(contact(report, listed, withdrawal, negatives));
      }
    }
  }

  private static Interval contact(
      Event opened, ContactListed listed, ContactWithdrawn withdrawal, List<Event> negatives) {
    Instant start = listed.listedAt();
    Policy policy = Policy.at(start);
    Instant periodEnd = listed.lastExposureAt().plus(policy.afterExposure());
    List<Condition> tests =
        requiredTests(
            Arrays.stream(policy.contactTestDays())
                .mapToObj(day -> Policy.dayStart(listed.lastExposureAt(), day))
                .toList(),
            negatives);
    Instant end = periodEnd;
    for (Condition test : tests) {
      end = end == null || test.metAt() == null ? null : later(end, test.metAt());
    }
    List<Condition> conditions = new ArrayList<>();
    conditions.add(new Condition(ConditionKind.TIME, Owner.TIME, periodEnd, periodEnd, null));
    conditions.addAll(tests);
    if (withdrawal != null && (end == null || withdrawal.withdrawnAt().isBefore(end))) {
      end = later(start, withdrawal.withdrawnAt());
    }
    return new Interval(
        Reason.CLOSE_CONTACT, start, opened.ref(), policy.version(), end, conditions, null);
  }

  private static Instant later(Instant one, Instant other) {
    return one.isBefore(other) ? other : one;
  }

  private static List<Condition> requiredTests(List<Instant> notBefore, List<Event> negatives) {
    Map<Instant, Event> metBy = new HashMap<>();
    List<Event> ordered = new ArrayList<>(negatives);
    ordered.sort(BY_REPORT_THEN_SAMPLE);
    List<Instant> latestFirst = new ArrayList<>(notBefore);
    latestFirst.sort(Comparator.reverseOrder());
    for (Event negative : ordered) {
      for (Instant day : latestFirst) {
        if (!day.isAfter(sampledAt(negative)) && !metBy.containsKey(day)) {
          metBy.put(day, negative);
          break;
        }
      }
    }
    return notBefore.stream().map(day -> negativeTest(day, metBy.get(day))).toList();
  }

  // Rank 4

  private static void outOfProvinceCode(List<Event> reports, List<Interval> found) {
    Event opened = null;
    for (Event report : reports) {
      if (((ProvincialCode) report.data()).colour() != ProvincialColour.GREEN) {
        opened = opened == null ? report : opened;
      } else if (opened != null) {
        found.add(provincialCode(opened, report));
        opened = null;
      }
    }
    if (opened != null) {
      found.add(provincialCode(opened, null));
    }
  }

  private static Interval provincialCode(Event opened, Event green) {
    ProvincialCode data = (ProvincialCode) opened.data();
    Instant start = data.reportedAt();
    Instant end = green == null ? null : later(start, ((ProvincialCode) green.data()).reportedAt());
    return new Interval(
        Reason.OUT_OF_PROVINCE_CODE,
        start,
        opened.ref(),
        Policy.at(start).version(),
        end,
        List.of(
            new Condition(ConditionKind.PROVINCE_GREEN, Owner.PROVINCE, null, end, refOf(green))),
        data.province());
  }

  // Ranks 5 and 6

  private static void quarantine(List<Event> reports, List<Interval> found) {
    Event opened = null;
    for (Event report : reports) {
      QuarantineReport data = (QuarantineReport) report.data();
      if (data instanceof QuarantineOrdered) {
        if (opened != null) {
          found.add(quarantine(opened, report, data.at()));
        }
        opened = report;
      } else if (data instanceof QuarantineTransferred) {
        if (opened != null) {
          found.add(quarantine(opened, report, data.at()));
          opened = report;
        }
      } else {
        if (opened != null) {
          found.add(quarantine(opened, report, data.at()));
        }
        opened = null;
      }
    }
    if (opened != null) {
      found.add(quarantine(opened, null, null));
    }
  }

  private static Interval quarantine(Event opened, Event closed, Instant closedAt) {
    QuarantineStep data = (QuarantineStep) opened.data();
    Policy policy = Policy.at(data.at());
    Instant end = closedAt;
    List<Condition> conditions;
    if (policy.plannedEndLifts().contains(data.kind())
        && (end == null || data.plannedEndAt().isBefore(end))) {
      end = data.plannedEndAt();
      conditions = List.of(new Condition(ConditionKind.TIME, Owner.TIME, end, end, null));
    } else if (closed == null || closed.data() instanceof QuarantineReleased) {
      conditions =
          List.of(
              new Condition(
                  ConditionKind.RELEASE_NOTICE,
                  Owner.QUARANTINE_COMMAND,
                  data.plannedEndAt(),
                  end,
                  refOf(closed)));
    } else {
      conditions = List.of(); // the next step of the order takes its place
    }
    return new Interval(
        data.kind() == QuarantineKind.CENTRALISED
            ? Reason.CENTRALISED_QUARANTINE
            : Reason.HOME_QUARANTINE,
        data.at(),
        opened.ref(),
        policy.version(),
        end,
        conditions,
        null);
  }
}

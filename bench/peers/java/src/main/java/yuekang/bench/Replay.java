package yuekang.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import yuekang.bench.model.Event;
import yuekang.bench.model.HealthCode.StatusChange;
import yuekang.bench.model.Person;
import yuekang.bench.model.Person.Notice;
import yuekang.bench.model.Person.Outcome;

/**
 * Folds what comes on its input, to be held against models/.
 *
 * <p>A line is an arrival in ms, a tab, and an event; an empty line ends a person, and is answered
 * with three lines: the code, the changes, and the reasons of the dead letters.
 */
final class Replay {
  private Replay() {}

  static void run() throws IOException {
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    Decoder decoder = new Decoder();
    Person row = null;
    List<String> changes = new ArrayList<>();
    List<String> refused = new ArrayList<>();
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      if (line.isEmpty()) {
        out.println(row == null ? "null" : new String(Json.of(row.code()), StandardCharsets.UTF_8));
        out.println("[" + String.join(",", changes) + "]");
        out.println(String.join(",", refused));
        out.flush();
        row = null;
        changes.clear();
        refused.clear();
        continue;
      }
      int tab = line.indexOf('\t');
      Instant at = Instant.ofEpochMilli(Long.parseLong(line.substring(0, tab)));
      byte[] value = line.substring(tab + 1).getBytes(StandardCharsets.UTF_8);
      try {
        Event event = decoder.decode(value, keyIn(line), at);
        Person before = row == null ? Person.unknown(event.person(), at) : row;
        Outcome outcome = before.fold(event, at);
        // Through the store's bytes and back, as between two events.
        row = PersonSerde.read(PersonSerde.write(outcome.person()));
        for (StatusChange change : outcome.changes()) {
          changes.add(new String(Json.of(change), StandardCharsets.UTF_8));
        }
        for (Notice notice : outcome.notices()) {
          refused.add(notice.objection().word);
        }
      } catch (Refusal refusal) {
        refused.add(refusal.code);
      }
    }
  }

  private static String keyIn(String line) {
    String name = "\"partitionkey\":\"";
    int start = line.indexOf(name);
    return start < 0
        ? null
        : line.substring(start + name.length(), line.indexOf('"', start + name.length()));
  }
}

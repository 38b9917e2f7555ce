package yuekang.bench;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import yuekang.bench.HealthCode.Changed;

/**
 * Folds what comes on its input, to be held against models/.
 *
 * <p>A person begins with a line of policies. A line for each event follows: its arrival in ms, a
 * tab, and its JSON. An empty line ends the person, and is answered with three lines: the codes,
 * the changes, and the reasons of the dead letters.
 */
final class Replay {
  private Replay() {}

  static void run() throws IOException {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, UTF_8));
    PrintStream out = new PrintStream(System.out, false, UTF_8);
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      Policy.Dated policies = Format.POLICIES.read(line.getBytes(UTF_8));
      Person row = null;
      List<String> codes = new ArrayList<>();
      List<String> changes = new ArrayList<>();
      List<String> refused = new ArrayList<>();
      for (line = in.readLine(); !line.isEmpty(); line = in.readLine()) {
        String[] parts = line.split("\t", 2);
        Instant at = Instant.ofEpochMilli(Long.parseLong(parts[0]));
        try {
          Event event = Format.EVENT.read(parts[1].getBytes(UTF_8));
          Person before = row == null ? Person.unknown(event.partitionkey(), at) : row;
          Person.Outcome told = before.fold(event, at, policies);
          // Through the store's bytes and back, as between two events.
          row = Format.ROW.read(Format.ROW.write(told.person()));
          if (row.code().version() != before.code().version()) {
            codes.add(text(Format.CODE.write(row.code())));
          }
          told.changes().forEach(c -> changes.add(text(Format.CHANGED.write(new Changed(c)))));
          told.objections().forEach(why -> refused.add(why.word));
        } catch (UncheckedIOException error) {
          refused.add(RealFold.refusal(error));
        }
      }
      out.println(codes);
      out.println(changes);
      out.println(String.join(",", refused));
      out.flush();
    }
  }

  private static String text(byte[] bytes) {
    return new String(bytes, UTF_8);
  }
}

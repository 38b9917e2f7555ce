package yuekang.bench;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.SerializerProvider;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.module.SimpleModule;
import com.fasterxml.jackson.databind.ser.std.StdSerializer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Instant;
import yuekang.bench.model.HealthCode;
import yuekang.bench.model.HealthCode.StatusChange;

/** What is told, as models/codes.py has it in JSON. */
final class Json {
  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
          .serializationInclusion(JsonInclude.Include.NON_NULL)
          .addModule(new SimpleModule().addSerializer(new Instants()))
          .build();
  private static final ObjectWriter CODE = MAPPER.writerFor(HealthCode.class);
  private static final ObjectWriter CHANGED = MAPPER.writerFor(StatusChanged.class);

  private Json() {}

  /** The CloudEvent on status-changes. */
  record StatusChanged(
      String id,
      Instant time,
      String partitionkey,
      StatusChange data,
      String type,
      String source,
      String specversion,
      String datacontenttype) {
    static StatusChanged of(StatusChange change) {
      return new StatusChanged(
          change.person() + ":" + change.version(),
          change.at(),
          change.person(),
          change,
          "yuekang.status.changed.v1",
          "/yuekang",
          "1.0",
          "application/json");
    }
  }

  static byte[] of(HealthCode code) {
    return write(CODE, code);
  }

  static byte[] of(StatusChange change) {
    return write(CHANGED, StatusChanged.of(change));
  }

  private static byte[] write(ObjectWriter writer, Object value) {
    try {
      return writer.writeValueAsBytes(value);
    } catch (JsonProcessingException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static final class Instants extends StdSerializer<Instant> {
    Instants() {
      super(Instant.class);
    }

    @Override
    public void serialize(Instant at, JsonGenerator out, SerializerProvider provider)
        throws IOException {
      out.writeString(at.toString());
    }
  }
}

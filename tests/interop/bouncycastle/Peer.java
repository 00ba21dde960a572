// Bouncy Castle's CMS, as a peer for tests: one command a run, files in and out.
//
//   sign     CONTENT OUT MODE (CERT KEY)...   MODE: attached, detached, stream
//   verify   ENVELOPE CONTENT-or-dash         prints the subject of each signer, fails if one is bad
//   encrypt  CONTENT OUT CIPHER (CERT)...     CIPHER: aes128-gcm, aes256-gcm, aes256-cbc
//   decrypt  ENVELOPE OUT CERT KEY

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.pkcs.RSAESOAEPparams;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.operator.OutputEncryptor;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.util.Store;

public final class Peer {
    private static final int PIECE = 1000;

    public static void main(String[] arguments) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        switch (arguments[0]) {
            case "sign" -> sign(arguments);
            case "verify" -> verify(arguments);
            case "encrypt" -> encrypt(arguments);
            case "decrypt" -> decrypt(arguments);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static byte[] read(String path) throws Exception {
        return Files.readAllBytes(Path.of(path));
    }

    private static Object pem(String path) throws Exception {
        return new PEMParser(new StringReader(new String(read(path)))).readObject();
    }

    private static X509Certificate certificate(String path) throws Exception {
        return new JcaX509CertificateConverter().setProvider("BC").getCertificate((X509CertificateHolder) pem(path));
    }

    private static PrivateKey key(String path) throws Exception {
        return new JcaPEMKeyConverter().setProvider("BC").getPrivateKey((PrivateKeyInfo) pem(path));
    }

    private static String algorithm(X509Certificate certificate) {
        String kind = certificate.getPublicKey().getAlgorithm();
        return switch (kind) {
            case "RSA" -> "SHA256withRSAandMGF1";
            case "Ed25519", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87" -> kind;
            default -> "SHA256withECDSA";
        };
    }

    private static SignerInfoGenerator signer(X509Certificate certificate, PrivateKey key)
            throws Exception {
        var digests = new JcaDigestCalculatorProviderBuilder().setProvider("BC").build();
        var signer = new JcaContentSignerBuilder(algorithm(certificate)).setProvider("BC").build(key);
        var builder = new JcaSignerInfoGeneratorBuilder(digests);
        if (algorithm(certificate).startsWith("ML-DSA")) {
            // RFC 9882 §3.3: what everybody has; its own choice is SHAKE256.
            builder.setContentDigest(new AlgorithmIdentifier(NISTObjectIdentifiers.id_sha512));
        }
        return builder.build(signer, certificate);
    }

    private static void sign(String[] arguments) throws Exception {
        byte[] content = read(arguments[1]);
        String mode = arguments[3];
        List<X509Certificate> certificates = new ArrayList<>();
        List<SignerInfoGenerator> signers = new ArrayList<>();
        for (int at = 4; at < arguments.length; at += 2) {
            X509Certificate certificate = certificate(arguments[at]);
            certificates.add(certificate);
            signers.add(signer(certificate, key(arguments[at + 1])));
        }
        byte[] envelope;
        if (mode.equals("stream")) {
            var generator = new CMSSignedDataStreamGenerator();
            for (SignerInfoGenerator signer : signers) {
                generator.addSignerInfoGenerator(signer);
            }
            generator.addCertificates(new JcaCertStore(certificates));
            var out = new ByteArrayOutputStream();
            try (OutputStream inner = generator.open(out, true)) {
                for (int at = 0; at < content.length; at += PIECE) {
                    inner.write(content, at, Math.min(PIECE, content.length - at));
                }
            }
            envelope = out.toByteArray();
        } else {
            var generator = new CMSSignedDataGenerator();
            for (SignerInfoGenerator signer : signers) {
                generator.addSignerInfoGenerator(signer);
            }
            generator.addCertificates(new JcaCertStore(certificates));
            boolean attached = mode.equals("attached");
            envelope = generator.generate(new CMSProcessableByteArray(content), attached).getEncoded();
        }
        Files.write(Path.of(arguments[2]), envelope);
    }

    private static void verify(String[] arguments) throws Exception {
        byte[] envelope = read(arguments[1]);
        CMSSignedData data = arguments[2].equals("-")
                ? new CMSSignedData(envelope)
                : new CMSSignedData(new CMSProcessableByteArray(read(arguments[2])), envelope);
        Store<X509CertificateHolder> certificates = data.getCertificates();
        Collection<SignerInformation> signers = data.getSignerInfos().getSigners();
        for (SignerInformation signer : signers) {
            X509CertificateHolder holder = holder(certificates, signer);
            var verifier = new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(holder);
            if (!signer.verify(verifier)) {
                throw new IllegalStateException("a bad signature");
            }
            System.out.println(holder.getSubject());
            for (SignerInformation counter : signer.getCounterSignatures().getSigners()) {
                X509CertificateHolder by = holder(certificates, counter);
                if (!counter.verify(
                        new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(by))) {
                    throw new IllegalStateException("a bad countersignature");
                }
                System.out.println("counter " + by.getSubject());
            }
        }
    }

    @SuppressWarnings("unchecked")
    private static X509CertificateHolder holder(
            Store<X509CertificateHolder> certificates, SignerInformation signer) {
        return (X509CertificateHolder) certificates.getMatches(signer.getSID()).iterator().next();
    }

    private static void encrypt(String[] arguments) throws Exception {
        ASN1ObjectIdentifier cipher = switch (arguments[3]) {
            case "aes128-gcm" -> CMSAlgorithm.AES128_GCM;
            case "aes256-gcm" -> CMSAlgorithm.AES256_GCM;
            default -> CMSAlgorithm.AES256_CBC;
        };
        OutputEncryptor encryptor =
                new JceCMSContentEncryptorBuilder(cipher).setProvider("BC").build();
        List<RecipientInfoGenerator> to = new ArrayList<>();
        for (int at = 4; at < arguments.length; at += 1) {
            to.add(recipient(certificate(arguments[at])));
        }
        byte[] content = read(arguments[1]);
        byte[] envelope;
        if (cipher.equals(CMSAlgorithm.AES256_CBC)) {
            var generator = new CMSEnvelopedDataGenerator();
            to.forEach(generator::addRecipientInfoGenerator);
            envelope = generator.generate(new CMSProcessableByteArray(content), encryptor).getEncoded();
        } else {
            var generator = new CMSAuthEnvelopedDataGenerator();
            to.forEach(generator::addRecipientInfoGenerator);
            envelope = generator
                    .generate(
                            new CMSProcessableByteArray(content),
                            (org.bouncycastle.operator.OutputAEADEncryptor) encryptor)
                    .getEncoded();
        }
        Files.write(Path.of(arguments[2]), envelope);
    }

    private static RecipientInfoGenerator recipient(X509Certificate certificate) throws Exception {
        if (certificate.getPublicKey().getAlgorithm().equals("RSA")) {
            var sha256 = new AlgorithmIdentifier(NISTObjectIdentifiers.id_sha256);
            var mask = new AlgorithmIdentifier(PKCSObjectIdentifiers.id_mgf1, sha256);
            var oaep = new AlgorithmIdentifier(
                    PKCSObjectIdentifiers.id_RSAES_OAEP,
                    new RSAESOAEPparams(sha256, mask, RSAESOAEPparams.DEFAULT_P_SOURCE_ALGORITHM));
            return new JceKeyTransRecipientInfoGenerator(certificate, oaep).setProvider("BC");
        }
        var curve = (java.security.interfaces.ECPublicKey) certificate.getPublicKey();
        var generator = java.security.KeyPairGenerator.getInstance("EC", "BC");
        generator.initialize(curve.getParams());
        var ours = generator.generateKeyPair();
        return new JceKeyAgreeRecipientInfoGenerator(
                        CMSAlgorithm.ECDH_SHA256KDF,
                        ours.getPrivate(),
                        ours.getPublic(),
                        CMSAlgorithm.AES256_WRAP)
                .addRecipient(certificate)
                .setProvider("BC");
    }

    private static void decrypt(String[] arguments) throws Exception {
        byte[] envelope = read(arguments[1]);
        X509Certificate certificate = certificate(arguments[3]);
        PrivateKey key = key(arguments[4]);
        RecipientInformationStore recipients = isAuthenticated(envelope)
                ? new CMSAuthEnvelopedData(envelope).getRecipientInfos()
                : new CMSEnvelopedData(envelope).getRecipientInfos();
        for (RecipientInformation recipient : recipients.getRecipients()) {
            if (!recipient.getRID().match(new X509CertificateHolder(certificate.getEncoded()))) {
                continue;
            }
            // Version 1.72 has nothing for key agreement in AuthEnvelopedData.
            Recipient opener;
            if (recipient instanceof KeyAgreeRecipientInformation) {
                opener = new JceKeyAgreeEnvelopedRecipient(key).setProvider("BC");
            } else if (isAuthenticated(envelope)) {
                opener = new JceKeyTransAuthEnvelopedRecipient(key).setProvider("BC");
            } else {
                opener = new JceKeyTransEnvelopedRecipient(key).setProvider("BC");
            }
            var content = recipient.getContentStream(opener).getContentStream().readAllBytes();
            Files.write(Path.of(arguments[2]), content);
            return;
        }
        throw new IllegalStateException("not a recipient");
    }

    private static boolean isAuthenticated(byte[] envelope) throws Exception {
        var info = org.bouncycastle.asn1.cms.ContentInfo.getInstance(
                new org.bouncycastle.asn1.ASN1InputStream(new ByteArrayInputStream(envelope))
                        .readObject());
        return info.getContentType().getId().equals("1.2.840.113549.1.9.16.1.23");
    }

    private Peer() {}
}
